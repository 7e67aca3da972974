"""Runs the `tests:` of a template on its rendered messages. No model is called.

Examples of a pool are left out, since they differ from query to query.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from gateway.ask import Turn
from gateway.errors import TemplateError
from gateway.prompt.compose import compose, fill_or_keep, keep_if_hostile
from gateway.prompt.examples import fixed_labels
from gateway.prompt.kept import KeptAsIs
from gateway.prompt.library.pools import read_pool
from gateway.prompt.templates.fields import ExamplePool, Expect, Shot, TemplateTest
from gateway.prompt.templates.template import Template


class Failure(Struct, frozen=True):
    """An expectation that was not met."""

    template: str
    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def run_cases(template: Template) -> tuple[Failure, ...]:
    """Return all failures of the template's own tests."""
    failures = []
    for index, case in enumerate(template.tests):
        line = template.places.get(f"tests.{index}", (0, 0))[0]
        failures += [Failure(template.id, template.file, line, what) for what in _case(template, case)]
    return tuple(failures)


def render_for(template: Template, query: str) -> tuple[Turn, ...]:
    """Return the messages for a query. The first examples of a pool take the place of the examples nearest to the
    query. Raises `KeptAsIs` or `TemplateError`.
    """
    keep_if_hostile(template, query)
    return compose(template, fill_or_keep(template, query), query, *sample(template)).turns


def sample(template: Template) -> tuple[tuple[Shot, ...], tuple[str, ...]]:
    """Return examples, and all labels. The examples are the template's own, or the first `k` of its pool. If the
    examples are in a collection, both results are empty.
    """
    if not isinstance(template.examples, ExamplePool):
        return template.examples, fixed_labels(template)
    if not template.examples.pool:
        return (), ()
    rows = read_pool(template)
    return rows.shots[: template.examples.k], rows.labels


def _case(template: Template, case: TemplateTest) -> Iterator[str]:
    try:
        shots, labels = sample(template)
        shots = () if isinstance(template.examples, ExamplePool) else shots
        if case.query:
            keep_if_hostile(template, case.query)
            turns = compose(template, fill_or_keep(template, case.query), case.query, shots, labels).turns
        else:
            turns = template.render({"query": "", **case.slots}, shots, labels)
    except KeptAsIs as unchanged:
        if not any(expect.no_match for expect in case.expect):
            yield f"no rewrite: {unchanged.reason}"
        return
    except TemplateError as error:
        yield error.what
        return
    for expect in case.expect:
        yield from _expect(expect, turns)


def _expect(expect: Expect, turns: Sequence[Turn]) -> Iterator[str]:
    text = "\n".join(turn.text for turn in turns)
    system = "\n".join(turn.text for turn in turns if turn.role == "system")
    roles = tuple(turn.role for turn in turns)
    words = len(text.split())
    if expect.no_match:
        yield "expected no rewrite, but the template is used"
    if expect.contains and expect.contains not in text:
        yield f"the messages do not contain {expect.contains!r}"
    if expect.not_contains and expect.not_contains in text:
        yield f"the messages contain {expect.not_contains!r}"
    if expect.system_contains and expect.system_contains not in system:
        yield f"the system message does not contain {expect.system_contains!r}"
    if expect.max_words and words > expect.max_words:
        yield f"the messages have {words} words; expected at most {expect.max_words}"
    if expect.roles and expect.roles != roles:
        yield f"the roles are {', '.join(roles)}; expected {', '.join(expect.roles)}"
