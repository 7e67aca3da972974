"""Classifies the `match` and `not` examples of all templates, and reports wrong results."""

from collections.abc import Awaitable, Callable, Iterable

from msgspec import Struct

from gateway.exchange import Intent
from gateway.prompt.authoring.cases import Failure
from gateway.prompt.templates.template import Template

Classify = Callable[[str], Awaitable[Intent]]


class MatchTally(Struct, frozen=True):
    """The number of classified examples, and the failures among them."""

    examples: int
    failures: tuple[Failure, ...]


async def check_examples(templates: Iterable[Template], classify: Classify) -> MatchTally:
    """Check that each `match` example gets the intent of its template, and that no `not` example gets that intent."""
    examples = 0
    failures: list[Failure] = []
    for template in templates:
        right = template.intent.name
        for text in template.intent.match:
            examples += 1
            intent = await classify(text)
            if intent.name != right:
                got = f"{intent.name!r} ({intent.confidence:.2f})" if intent.known else "unknown"
                failures.append(_failure(template, "intent.match", f"{text[:70]!r} is {got}, not {right!r}"))
        for text in template.intent.not_:
            examples += 1
            intent = await classify(text)
            if intent.name == right:
                what = f"{text[:70]!r} is {right!r} ({intent.confidence:.2f}), which it should not be"
                failures.append(_failure(template, "intent.not", what))
    return MatchTally(examples, tuple(failures))


def _failure(template: Template, key: str, what: str) -> Failure:
    return Failure(template.id, template.file, template.places.get(key, (1, 1))[0], what)
