"""What is wrong with a library of templates beyond what `parse` refuses, with the place and remedy of each."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gateway.errors import TemplateError
from gateway.prompt.authoring.findings import Finding, Severity, at, of_error
from gateway.prompt.authoring.lint_examples import Embed, alike, clashes, near, plain
from gateway.prompt.authoring.lint_library import translations, unreachable
from gateway.prompt.authoring.scaffold import PLACEHOLDERS
from gateway.prompt.library.library import Library
from gateway.prompt.library.pools import read_pool
from gateway.prompt.templates.fields import ExamplePool, Purpose, Status, Technique
from gateway.prompt.templates.template import Template

MIN_MATCH = 8
MIN_NOT = 2
MAX_BODY_CHARS = 4000
DEFAULT_WINDOW = 4096
"""Tokens; of a template that does not say `min_window`."""

Count = Callable[[str], int]
"""Text to tokens."""

SECRETS = {
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "API key": re.compile(
        r"\b(?:sk-[\w-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_\w{30,}|github_pat_\w{40,}|xox[abprs]-[\w-]{10,}"
        r"|AIza[\w-]{35}|glpat-[\w-]{20,}|hf_\w{30,}|[sr]k_(?:live|test)_\w{16,})"
    ),
    "bearer token": re.compile(r"(?i)\bbearer\s+[\w.~+/=-]{20,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"),
    "password": re.compile(
        r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/@{]+@|(?i:\b(?:password|passwd|api_?key)\s*[:=]\s*[\"']?\w{6,})"
    ),
}


def estimated(text: str) -> int:
    """Tokens, roughly: four letters of ASCII, or one other character."""
    ascii_only = sum(character.isascii() for character in text)
    return ascii_only // 4 + len(text) - ascii_only


def lint(
    library: Library, errors: Sequence[TemplateError] = (), count: Count = estimated, embed: Embed | None = None
) -> tuple[Finding, ...]:
    """Everything found, by file and line. `errors` are those of loading the library.

    With `embed`, examples of different intents are also compared by what they mean.
    """
    found = [of_error(error) for error in errors]
    found += [
        Finding(error.file, error.line, error.column, "version-not-raised", error.what) for error in library.changed
    ]
    archive = str(library.archive.folder) if library.archive else ""
    templates = [one for one in library.templates if not archive or not one.file.startswith(archive)]
    for template in templates:
        found += _template(template, count)
    found += clashes(templates)
    found += near(templates)
    found += alike(templates, embed) if embed else ()
    found += translations(templates)
    found += unreachable(library, templates)
    return tuple(sorted(set(found), key=lambda finding: (finding.file, finding.line, finding.column, finding.what)))


def _template(template: Template, count: Count) -> Iterator[Finding]:
    yield from _unused(template)
    yield from _examples(template)
    if template.purpose is Purpose.ANSWER:
        yield from _intent(template)
    yield from _size(template, count)
    rows = _rows(template)
    yield from _secrets(template.file, rows)
    if template.status not in (Status.DRAFT, Status.RETIRED):
        yield from _placeholders(template.file, rows)
    if template.active and not template.tests:
        what = "an active template has `tests:`, at least one"
        yield at(template, "id", "no-tests", what, level=Severity.WARNING)


def _size(template: Template, count: Count) -> Iterator[Finding]:
    line = template.parts[0].line
    size = sum(len(part.source) for part in template.parts)
    if size > MAX_BODY_CHARS:
        what = f"the body has {size} characters; more than {MAX_BODY_CHARS} crowd out what the user wrote"
        yield Finding(template.file, line, 1, "body-too-long", what)
        return
    window = template.models.min_window or DEFAULT_WINDOW
    body = sum(count(part.source) for part in template.parts)
    slots = sum(count("word" * (slot.max_chars // 4)) for slot in template.slots.values())
    total = body + slots + template.output.max_tokens
    if total > window:
        parts = f"{body} of the body, {slots} of the slots at their longest, {template.output.max_tokens} of the answer"
        what = f"{total} tokens ({parts}) do not fit a window of {window}"
        remedy = "shorten it, lower `max_chars` or `max_tokens`, or say `models: {min_window: ...}`"
        yield Finding(template.file, line, 1, "over-budget", what, remedy)


def _secrets(file: str, rows: Sequence[str]) -> Iterator[Finding]:
    """What looks like a credential; it is not repeated in the finding."""
    for number, row in enumerate(rows, 1):
        for kind, pattern in SECRETS.items():
            found = pattern.search(row)
            if found:
                remedy = "templates go to models and into records: take it out, and have it replaced where it is used"
                yield Finding(file, number, found.start() + 1, "secret", f"this looks like a {kind}", remedy)


def _placeholders(file: str, rows: Sequence[str]) -> Iterator[Finding]:
    """What `foreword templates new` wrote to be replaced, and was not."""
    for number, row in enumerate(rows, 1):
        places = [row.index(mark) for mark in PLACEHOLDERS if mark in row]
        if places:
            what = f"still as a new file has it: {row.strip()[:60]!r}"
            yield Finding(file, number, min(places) + 1, "placeholder", what, "replace or delete it")


def _rows(template: Template) -> list[str]:
    try:
        return Path(template.file).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return [row for part in template.parts for row in part.source.splitlines()]  # a candidate that is no file yet


def _unused(template: Template) -> Iterator[Finding]:
    """Slots that nothing uses. A required one is a condition, and may stand without being used."""
    used = set().union(*(part.body.names for part in template.parts))
    for name, slot in template.slots.items():
        if name not in used and not slot.required and name != template.shot_slot:
            what = f"slot {name!r} is not used in the body"
            yield at(template, f"slots.{name}", "unused-slot", what, "use it or delete it")


def _examples(template: Template) -> Iterator[Finding]:
    examples = template.examples
    if template.technique is Technique.FEW_SHOT and not examples:
        yield at(template, "technique", "no-examples", "a few-shot template has `examples:`")
    if not examples:
        return
    used = any("examples" in part.body.names for part in template.parts)
    if not used and not template.shot_turns:
        what = "the body does not use the examples"
        yield at(template, "examples", "unused-examples", what, "write {% for e in examples %}, or say `as: turns`")
    if isinstance(examples, ExamplePool) and examples.pool:
        yield from _pool(template, examples)
    if template.shot_turns:
        others = template.parts[-1].body.names - {template.shot_slot, "query", "labels"}
        for name in sorted(others):
            what = f"with `as: turns` each example's message shows this request's {name!r}"
            line = template.parts[-1].line
            yield Finding(template.file, line, 1, "slot-in-turns", what, "move it to `# system`", Severity.WARNING)


def _pool(template: Template, pool: ExamplePool) -> Iterator[Finding]:
    try:
        rows = read_pool(template)
    except TemplateError as error:
        yield Finding(error.file, error.line, error.column, "pool-unreadable", error.what)
        return
    if len(rows.shots) < pool.k:
        what = f"the pool has {len(rows.shots)} different examples, fewer than k: {pool.k}"
        yield at(template, "examples", "pool-too-small", what, "add some, or lower `k`")


def _intent(template: Template) -> Iterator[Finding]:
    intent = template.intent
    speaks = template.status in (Status.ACTIVE, Status.CANARY)
    if speaks and len(intent.match) < MIN_MATCH:
        what = f"{len(intent.match)} match examples; at least {MIN_MATCH}, in the words of your users"
        yield at(template, "intent.match", "few-matches", what)
    if speaks and len(intent.not_) < MIN_NOT:
        what = f"{len(intent.not_)} `not` examples; at least {MIN_NOT} near misses show where the intent ends"
        yield at(template, "intent.not", "few-near-misses", what)
    for text in sorted({plain(text) for text in intent.match} & {plain(text) for text in intent.not_}):
        what = f"{text[:60]!r} is both a match and a `not` example"
        yield at(template, "intent.not", "contradiction", what, "delete one of them")
