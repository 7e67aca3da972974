"""Parses a template file.

The body is split into parts at the lines `# system`, `# user` and `# assistant` before any slot is filled. Each part is
compiled separately and checked against the head. Therefore, no slot value can add a message, change a role, or be
expanded as a template.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.errors import TemplateError
from gateway.prompt.templates.allow_list import ForbiddenSyntax
from gateway.prompt.templates.fields import Check, ExamplePool, FirstCall, Iterate
from gateway.prompt.templates.frontmatter import FrontMatterHead, split_head, suggest
from gateway.prompt.templates.sandbox import CompiledBody, compile_body
from gateway.prompt.templates.schema import read_head
from gateway.prompt.templates.template import Template, TemplatePart

ROLES = ("system", "user", "assistant")
_HEADINGS = r"# (system|user|assistant|retry|call [a-z][a-z0-9_]*)[ \t]*"
HEADING = re.compile(rf"^{_HEADINGS}$")
ESCAPED = re.compile(rf"^\\({_HEADINGS})$", re.MULTILINE)
CALL = "call "
RETRY = "retry"
LONE = re.compile("[\ud800-\udfff]")
BESIDES = (
    "schema", "id", "version", "status", "mode", "description", "family", "intent", "optimise", "tests", "provenance",
)  # fmt: skip
"""The keys whose values may change without a new version, since no model sees them."""


def parse(source: str, file: str) -> Template:
    """Parse the source of a template file. Raises `TemplateError` at the first mistake, with its line and column."""
    source = _plain(source)
    if not source.isascii() and LONE.search(source):
        raise TemplateError(file, "it contains half a character (a lone surrogate); save it as UTF-8", 1, 1)
    head, body, first_line = split_head(source, file)
    content = _content(head.data, body)
    fields = read_head(head)
    names = {"query", *fields["slots"]}
    if fields["examples"]:
        names |= {"examples", "labels"}
    parts = _parts(body, file, first_line, names, tuple(fields["calls"]))
    messages = tuple(part for part in parts if part.role in ROLES)
    _check_order(messages, file, first_line)
    _check_shot_turns(head, fields, messages)
    return Template(
        **fields,
        parts=messages,
        first=_first(head, fields["calls"], parts),
        retry=_retry(head, fields["iterate"], parts),
        judges=_judges(head, fields["checks"], names),
        file=file,
        digest=digest_of(source),
        content=content,
    )


def digest_of(source: str) -> str:
    """Return the digest of a file's text. Line endings and a byte order mark make no difference."""
    return hashlib.sha256(_plain(source).encode("utf-8", "surrogatepass")).hexdigest()


def _plain(source: str) -> str:
    return source.replace("\r\n", "\n").removeprefix("\ufeff")


def _content(head: Mapping[str, Any], body: str) -> str:
    lasting = {key: value for key, value in head.items() if key not in BESIDES}
    return hashlib.sha256(msgspec.json.encode([lasting, body.strip()], order="deterministic")).hexdigest()


def _parts(body: str, file: str, first_line: int, names: set[str], calls: Sequence[str]) -> tuple[TemplatePart, ...]:
    parts: list[TemplatePart] = []
    for role, text, line in _split(body, file, first_line):
        source = ESCAPED.sub(r"\1", text)
        try:
            compiled = compile_body(source, names | _more_names(role, calls))
        except ForbiddenSyntax as error:
            at = line + error.line
            raise TemplateError(file, error.what, at, _column(text, error.line, error.word)) from error
        parts.append(TemplatePart(role, source.strip(), line, compiled))
    for part in parts:
        if not part.source:
            raise TemplateError(file, f"`# {part.role}` is empty", part.line, 1)
    return tuple(parts)


def _more_names(role: str, calls: Sequence[str]) -> set[str]:
    """Return the names that a part may use besides slots and examples.

    Every part may use the names of earlier calls. The part `# retry` may also use `answer` and `failures`.
    """
    if role.startswith(CALL):
        name = role.removeprefix(CALL)
        return set(calls[: calls.index(name)]) if name in calls else set()
    return {*calls, "answer", "failures"} if role == RETRY else set(calls)


def _first(
    head: FrontMatterHead, calls: Mapping[str, FirstCall], parts: Sequence[TemplatePart]
) -> Mapping[str, TemplatePart]:
    prompts = {part.role.removeprefix(CALL): part for part in parts if part.role.startswith(CALL)}
    for name, part in prompts.items():
        if name not in calls:
            raise TemplateError(
                head.file, f"`# call {name}` is not declared: add `calls: {{{name}: {{}}}}`", part.line, 1
            )
    for name in calls:
        if name not in prompts:
            raise head.error(f"the body has no part `# call {name}`: the prompt of that call", "calls", name)
    return {name: prompts[name] for name in calls}


def _retry(head: FrontMatterHead, iterate: Iterate | None, parts: Sequence[TemplatePart]) -> TemplatePart | None:
    heading = next((part for part in parts if part.role == RETRY), None)
    if iterate is not None and heading is None:
        raise head.error("the body has no part `# retry`, the message to the model after a failure", "iterate")
    if iterate is None and heading is not None:
        raise TemplateError(head.file, "`# retry` is never used: the head has no `iterate:`", heading.line, 1)
    return heading


def _judges(head: FrontMatterHead, checks: Sequence[Check], names: set[str]) -> Mapping[int, CompiledBody]:
    questions = {}
    for index, check in enumerate(checks):
        if not check.judge:
            continue
        try:
            questions[index] = compile_body(check.judge, {*names, "answer"})
        except ForbiddenSyntax as error:
            raise head.error(error.what, "checks", index, "judge") from error
    return questions


def _split(body: str, file: str, first_line: int) -> list[tuple[str, str, int]]:
    """Return the parts of the body as (role, text, line of the heading).

    Raises `TemplateError` for text before the first heading.
    """
    parts: list[tuple[str, list[str], int]] = []
    for number, line in enumerate(body.split("\n"), first_line):
        heading = HEADING.match(line)
        if heading:
            parts.append((heading[1], [], number))
        elif parts:
            parts[-1][1].append(line)
        elif line.strip():
            close = re.match(r"#+\s*(\w+)", line)
            hint = f"; {suggest(close[1], [f'# {role}' for role in ROLES])}" if close else ""
            raise TemplateError(file, f"the body starts with a line `# system` or `# user`{hint}", number, 1)
    return [(role, "\n".join(lines), number) for role, lines, number in parts]


def _check_order(parts: Sequence[TemplatePart], file: str, first_line: int) -> None:
    if not parts:
        raise TemplateError(file, "the body has no `# user` part", first_line, 1)
    if parts[-1].role != "user":
        raise TemplateError(file, "the last part must be `# user`: the model answers this part", parts[-1].line, 1)
    for part in parts[1:]:
        if part.role == "system":
            raise TemplateError(file, "`# system` must come first, and only once", part.line, 1)


def _check_shot_turns(head: FrontMatterHead, fields: Mapping[str, Any], parts: Sequence[TemplatePart]) -> None:
    examples = fields["examples"]
    if not isinstance(examples, ExamplePool):
        return
    if examples.slot and examples.slot not in {"query", *fields["slots"]}:
        known = {"query", *fields["slots"]}
        raise head.error(f"no slot {examples.slot!r} is declared; {suggest(examples.slot, known)}", "examples", "slot")
    if examples.as_ == "turns" and any("examples" in part.body.names for part in parts):
        raise head.error(
            "with `as: turns` the examples are messages; take `examples` out of the body", "examples", "as"
        )


def _column(text: str, line: int, word: str) -> int:
    lines = text.split("\n")
    row = lines[line - 1] if 0 < line <= len(lines) else ""
    match = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", row) if word else None
    return match.start() + 1 if match else len(row) - len(row.lstrip()) + 1
