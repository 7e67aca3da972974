"""What is wrong with a library of templates beyond what `parse` refuses, with the place of each."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct

from gateway.errors import TemplateError
from gateway.prompt.fields import Language, Pool, Purpose, Status, Technique
from gateway.prompt.library import Library
from gateway.prompt.shots import read_pool
from gateway.prompt.template import Template

MIN_MATCH = 8
MIN_NOT = 2
MAX_BODY_CHARS = 4000


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Finding(Struct, frozen=True):
    """One thing to mend. `line` and `column` count from 1; 0 is unknown."""

    file: str
    line: int
    column: int
    what: str
    level: Level = Level.ERROR

    def __str__(self) -> str:
        mark = "" if self.level is Level.ERROR else "warning: "
        return f"{self.file}:{self.line}:{self.column}: {mark}{self.what}"


def lint(library: Library, errors: Sequence[TemplateError] = ()) -> tuple[Finding, ...]:
    """Everything found, by file and line. `errors` are those of loading the library."""
    found = [Finding(error.file, error.line, error.column, error.what) for error in errors]
    for template in library.templates:
        found += _template(template)
    found += _clashes(library.templates)
    found += _translations(library.templates)
    return tuple(sorted(set(found), key=lambda finding: (finding.file, finding.line, finding.column, finding.what)))


def _template(template: Template) -> Iterator[Finding]:
    yield from _unused(template)
    yield from _examples(template)
    if template.purpose is Purpose.ANSWER:
        yield from _intent(template)
    size = sum(len(part.source) for part in template.parts)
    if size > MAX_BODY_CHARS:
        line = template.parts[0].line
        yield Finding(
            template.file,
            line,
            1,
            f"the body has {size} characters; more than {MAX_BODY_CHARS} crowd out what the user wrote",
        )
    if template.active and not template.tests:
        yield _at(template, "id", "an active template has `tests:`, at least one", Level.WARNING)


def _unused(template: Template) -> Iterator[Finding]:
    """Slots that nothing uses. A required one is a condition, and may stand without being used."""
    used = set().union(*(part.body.names for part in template.parts))
    for name, slot in template.slots.items():
        if name not in used and not slot.required and name != template.shot_slot:
            yield _at(template, f"slots.{name}", f"slot {name!r} is not used in the body; use it or delete it")


def _examples(template: Template) -> Iterator[Finding]:
    examples = template.examples
    if template.technique is Technique.FEW_SHOT and not examples:
        yield _at(template, "technique", "a few-shot template has `examples:`")
    if not examples:
        return
    used = any("examples" in part.body.names for part in template.parts)
    if not used and not template.shot_turns:
        yield _at(template, "examples", "the body does not use the examples: {% for e in examples %}, or `as: turns`")
    if isinstance(examples, Pool) and examples.pool:
        yield from _pool(template, examples)
    if template.shot_turns:
        others = template.parts[-1].body.names - {template.shot_slot, "query", "labels"}
        for name in sorted(others):
            what = f"with `as: turns` each example's message shows this request's {name!r}; move it to `# system`"
            yield Finding(template.file, template.parts[-1].line, 1, what, Level.WARNING)


def _pool(template: Template, pool: Pool) -> Iterator[Finding]:
    try:
        rows = read_pool(template)
    except TemplateError as error:
        yield Finding(error.file, error.line, error.column, error.what)
        return
    if len(rows.shots) < pool.k:
        yield _at(template, "examples", f"the pool has {len(rows.shots)} different examples, fewer than k: {pool.k}")


def _intent(template: Template) -> Iterator[Finding]:
    intent = template.intent
    speaks = template.status in (Status.ACTIVE, Status.CANARY)
    if speaks and len(intent.match) < MIN_MATCH:
        what = f"{len(intent.match)} match examples; at least {MIN_MATCH}, in the words of your users"
        yield _at(template, "intent.match", what)
    if speaks and len(intent.not_) < MIN_NOT:
        what = f"{len(intent.not_)} `not` examples; at least {MIN_NOT} near misses show where the intent ends"
        yield _at(template, "intent.not", what)
    for text in sorted({_plain(text) for text in intent.match} & {_plain(text) for text in intent.not_}):
        yield _at(template, "intent.not", f"{text[:60]!r} is both a match and a `not` example")


def _clashes(templates: Iterable[Template]) -> Iterator[Finding]:
    """The same match example in two intents: the classifier can learn neither."""
    owner: dict[str, Template] = {}
    for template in templates:
        for text in template.intent.match:
            first = owner.setdefault(_plain(text), template)
            if first.intent.name != template.intent.name:
                what = f"{text[:60]!r} is also a match example of intent {first.intent.name!r} ({first.file})"
                yield _at(template, "intent.match", what)


def _translations(templates: Iterable[Template]) -> Iterator[Finding]:
    active = [template for template in templates if template.active]
    languages: dict[str, set[str]] = {}
    for template in active:
        languages.setdefault(template.family, set()).add(template.language)
    for template in active:
        for language in sorted(set(Language) - languages[template.family]):
            what = f"the family {template.family!r} has no active template in {language.value!r}"
            yield _at(template, "language", what, Level.WARNING)


def _at(template: Template, key: str, what: str, level: Level = Level.ERROR) -> Finding:
    line, column = template.places.get(key) or template.places.get(key.partition(".")[0]) or (1, 1)
    return Finding(template.file, line, column, what, level)


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".?!。？！")
