"""Finds mistakes in a template file that `parse` accepts.

A mistake of level error keeps an active template from being used until the file is corrected.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.ask import Turn
from gateway.errors import TemplateError
from gateway.prompt.templates.fields import ExamplePool, Purpose, Slot, SlotType, Status, Technique
from gateway.prompt.templates.findings import Finding, Severity
from gateway.prompt.templates.template import Template

MIN_MATCH = 8
MIN_NOT = 2
MAX_BODY_CHARS = 4000
DEFAULT_WINDOW = 4096
"""The size of the model's window, in tokens, that is assumed if a template has no `min_window`."""

_QUOTED_SLOT = re.compile(
    r"(?P<open>\"{3}|'{3}|```+|~~~+|[\"'“”‘’「『«`])(?P<kind>\w*)(?P<gap>\s*)\{\{-?\s*(?P<slot>\w+)[^{}|]*\}\}\s*"
    r"(?:(?P=open)|[”’」』»])"
)
"""Matches a slot between quotes or fences that the author has written."""

Count = Callable[[str], int]
"""A function that counts the tokens of a text."""

PLACEHOLDERS = (
    *("Replace me: ", "Replace me with one line", "Replace this line with ", "input: replace me", "author: replace me"),
    *("请替换：", "请把这一行换成"),
)
"""Phrases in a new template file that the author has to replace."""

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

SPEAKING = (Status.CANARY, Status.ACTIVE)
PROBE = "qzxprobe"
"""Replaces the user's words in a test rendering. If the result does not contain this text, the body loses the user's
words.
"""


def estimated(text: str) -> int:
    """Estimate the number of tokens in a text.

    Four ASCII characters count as one token. Every other character counts as one token.
    """
    ascii_only = sum(character.isascii() for character in text)
    return ascii_only // 4 + len(text) - ascii_only


def faults_of(template: Template, source: str, count: Count = estimated) -> Iterator[Finding]:
    """Yield the mistakes in one template. `source` is the text of its file."""
    yield from _unused(template)
    yield from _without_the_user(template)
    yield from _hand_made_fences(template)
    yield from _examples(template)
    if template.purpose is Purpose.ANSWER:
        yield from _intent(template)
    yield from _size(template, count)
    rows = source.splitlines()
    yield from _secrets(template.file, rows)
    if template.status is Status.DRAFT:
        yield from _unfinished(template, rows)
    elif template.status is not Status.RETIRED:
        yield from _placeholders(template.file, rows)
    if template.status is Status.ACTIVE and not template.tests:
        what = "an active template needs at least one test in `tests:`"
        yield at(template, "id", "no-tests", what, level=Severity.WARNING)


def errors_of(template: Template, source: str) -> tuple[Finding, ...]:
    """Return the mistakes that keep an active template from being used."""
    return tuple(finding for finding in faults_of(template, source) if finding.level is Severity.ERROR)


def at(
    template: Template, key: str, code: str, what: str, remedy: str = "", level: Severity = Severity.ERROR
) -> Finding:
    """Return a finding with the line and column of a key in the head, such as `intent.match`."""
    line, column = template.places.get(key) or template.places.get(key.partition(".")[0]) or (1, 1)
    return Finding(template.file, line, column, code, what, remedy, level)


def plain(text: str) -> str:
    """Return the text in lower case, with single blanks and without closing punctuation."""
    return " ".join(text.lower().split()).rstrip(".?!。？！")


def _without_the_user(template: Template) -> Iterator[Finding]:
    """Yield a finding if the rendered messages contain none of the user's words."""
    if template.used_names & {"query", *template.slots} and _arrives(template):
        return
    what = "the messages contain neither `{{ query }}` nor a slot: what the user wrote would be lost"
    yield Finding(template.file, template.parts[-1].line, 1, "no-user-text", what, "write {{ query }} into `# user`")


def _hand_made_fences(template: Template) -> Iterator[Finding]:
    """Yield a finding for each slot between quotes if the slot has text from the user. The text could
    close the quotes.
    """
    for part in template.parts:
        for match in _QUOTED_SLOT.finditer(part.source):
            name = match["slot"]
            slot = template.slots.get(name)
            if name != "query" and (slot is None or slot.values or slot.type is not None):
                continue  # a value from the author's list, or a number, cannot close quotes
            line = part.line + 1 + part.source.count("\n", 0, match.start())
            what = f"{{{{ {name} }}}} stands between quotes that the user's text can close"
            remedy = f"write {{{{ {name} | fenced }}}} in place of the quotes"
            yield Finding(template.file, line, 1, "open-fence", what, remedy, Severity.WARNING)


def _arrives(template: Template) -> bool:
    """Return whether, for at least one choice of slot values, the messages contain the words of the query
    or of a slot.
    """
    full = {"query": PROBE} | {name: PROBE for name in template.slots}
    chosen = full | {name: value for name, slot in template.slots.items() if (value := _choice(slot))}
    return any(_shows(template, values) for values in (full, chosen, {"query": PROBE}))


def _choice(slot: Slot) -> str:
    return next(iter(slot.values), "") if slot.type is SlotType.ENUM or slot.values else ""


def _shows(template: Template, values: Mapping[str, Any]) -> bool:
    try:
        turns: Sequence[Turn] = template.render({**dict.fromkeys(template.calls, "x"), **values})
    except TemplateError:
        return True  # a text that is too long is another mistake
    text = "".join(turn.text for turn in turns if turn.role != "assistant").casefold()
    return PROBE in text or any(
        value.casefold() in text for name, value in values.items() if name in template.slots and value
    )


def _size(template: Template, count: Count) -> Iterator[Finding]:
    line = template.parts[0].line
    size = sum(len(part.source) for part in template.parts)
    if size > MAX_BODY_CHARS:
        what = f"the body has {size} characters; more than {MAX_BODY_CHARS} crowd out the user's text"
        yield Finding(template.file, line, 1, "body-too-long", what)
        return
    window = template.models.min_window or DEFAULT_WINDOW
    body = sum(count(part.source) for part in template.parts)
    slots = sum(count("word" * (slot.max_chars // 4)) for slot in template.slots.values())
    total = body + slots + template.output.max_tokens
    if total > window:
        parts = f"body {body}, slots at their longest {slots}, answer {template.output.max_tokens}"
        what = f"{total} tokens ({parts}) do not fit a window of {window}"
        remedy = "shorten it, lower `max_chars` or `max_tokens`, or set `models: {min_window: ...}`"
        yield Finding(template.file, line, 1, "over-budget", what, remedy)


def _secrets(file: str, rows: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding for each credential that the text seems to contain. The finding does not repeat
    the credential.
    """
    for number, row in enumerate(rows, 1):
        for kind, pattern in SECRETS.items():
            match = pattern.search(row)
            if match:
                remedy = "templates go to models and into records: remove it, and replace the credential itself"
                yield Finding(file, number, match.start() + 1, "secret", f"this looks like a {kind}", remedy)


def _placeholders(file: str, rows: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding for each line from `foreword templates new` that the author has not replaced."""
    for number, row in enumerate(rows, 1):
        places = [row.index(mark) for mark in PLACEHOLDERS if mark in row]
        if places:
            what = f"the author has not replaced this line of the new file: {row.strip()[:60]!r}"
            yield Finding(file, number, min(places) + 1, "placeholder", what, "replace or delete it")


def _unfinished(template: Template, rows: Sequence[str]) -> Iterator[Finding]:
    """Yield a single finding for all lines of a draft that the author has not replaced."""
    lines = [finding.line for finding in _placeholders(template.file, rows)]
    if lines:
        what = f"{len(lines)} lines of the new file are not replaced yet"
        remedy = f"fill in the lines {', '.join(map(str, lines))}"
        yield Finding(template.file, lines[0], 1, "placeholder", what, remedy, Severity.NOTE)


def _unused(template: Template) -> Iterator[Finding]:
    """Yield a finding for each optional slot that the body does not use.

    A required slot may be unused, since it also serves as a condition.
    """
    for name, slot in template.slots.items():
        if name not in template.used_names and not slot.required and name != template.shot_slot:
            what = f"slot {name!r} is not used in the body"
            yield at(template, f"slots.{name}", "unused-slot", what, "use it or delete it")


def _examples(template: Template) -> Iterator[Finding]:
    examples = template.examples
    if template.technique is Technique.FEW_SHOT and not examples:
        yield at(template, "technique", "no-examples", "a few-shot template needs `examples:`")
    if not examples:
        return
    if "examples" not in template.used_names and not template.shot_turns:
        what = "the body does not use the examples"
        yield at(template, "examples", "unused-examples", what, "write {% for e in examples %}, or set `as: turns`")
    if isinstance(examples, ExamplePool) and template.shot_turns and not template.whole:
        others = template.parts[-1].body.names - {template.shot_slot, "query", "labels", "given"}
        for name in sorted(others):
            what = f"with `as: turns` the message of each example shows {name!r} of the current request"
            line = template.parts[-1].line
            yield Finding(template.file, line, 1, "slot-in-turns", what, "move it to `# system`", Severity.WARNING)


def _intent(template: Template) -> Iterator[Finding]:
    intent = template.intent
    speaks = template.status in SPEAKING
    if speaks and len(intent.match) < MIN_MATCH:
        what = f"{len(intent.match)} match examples; at least {MIN_MATCH}, in the words of your users"
        yield at(template, "intent.match", "few-matches", what)
    if speaks and len(intent.not_) < MIN_NOT:
        what = f"{len(intent.not_)} `not` examples; at least {MIN_NOT} near misses show where the intent ends"
        yield at(template, "intent.not", "few-near-misses", what)
    for text in sorted({plain(text) for text in intent.match} & {plain(text) for text in intent.not_}):
        what = f"{text[:60]!r} is both a match and a `not` example"
        yield at(template, "intent.not", "contradiction", what, "delete one of them")
