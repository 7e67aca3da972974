"""Classifies every `match` and `not` example of the templates."""

from collections.abc import Awaitable, Callable, Iterable

from msgspec import Struct

from gateway.exchange import Intent
from gateway.prompt.authoring.cases import Failure
from gateway.prompt.templates.template import Template

Classify = Callable[[str], Awaitable[Intent]]


class MatchTally(Struct, frozen=True):
    """The number of examples classified, and the wrong results."""

    asked: int
    failures: tuple[Failure, ...]


async def check_examples(templates: Iterable[Template], classify: Classify) -> MatchTally:
    """Check that each `match` example gets its template's intent, and that no `not` example does."""
    asked = 0
    failures: list[Failure] = []
    for template in templates:
        wanted = template.intent.name
        for text in template.intent.match:
            asked += 1
            intent = await classify(text)
            if intent.name != wanted:
                got = f"{intent.name!r} ({intent.confidence:.2f})" if intent.known else "unknown"
                failures.append(_failure(template, "intent.match", f"{text[:70]!r} is {got}, not {wanted!r}"))
        for text in template.intent.not_:
            asked += 1
            intent = await classify(text)
            if intent.name == wanted:
                what = f"{text[:70]!r} is {wanted!r} ({intent.confidence:.2f}), which it should not be"
                failures.append(_failure(template, "intent.not", what))
    return MatchTally(asked, tuple(failures))


def _failure(template: Template, key: str, what: str) -> Failure:
    return Failure(template.id, template.file, template.places.get(key, (1, 1))[0], what)
