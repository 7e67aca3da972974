"""Splits a template's source into pieces that a search may change, and joins the pieces again.

A candidate is source, not rendered text, so a winner is a file that a person could have written. Other lines of the
front matter, such as comments, stay as they are.
"""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.prompt.templates.fields import ExamplePool
from gateway.prompt.templates.parse import HEADING, parse
from gateway.prompt.templates.template import Template

Pieces = dict[str, str]
"""The pieces by name. `system` and `user` are template source, `examples` is a `CandidateExamples` as JSON, and
`settings` is JSON with keys of the front matter."""

PIECES = ("system", "user", "examples", "settings")
SETTINGS = ("technique", "output", "reasoning")
LISTED = "{% for e in examples %}\nInput: {{ e.input }}\nOutput: {{ e.output }}\n{% endfor %}"
_TAG = re.compile(r"\{[{%#]")
_KEY = re.compile(r"[A-Za-z_]+:")


class CandidateExamples(Struct, frozen=True):
    """The labelled examples of a candidate, and how the prompt shows them.

    kept: the parent's examples.
    none: no examples.
    turns: each example is a user message and an assistant message.
    list: the examples are listed in the user's message.
    nearest: each request gets its `k` most similar examples as turns.
    """

    form: str = "kept"
    k: int = 0
    rows: tuple[tuple[str, str], ...] = ()


class Parent(Struct, frozen=True):
    """The template to improve, with its source and file."""

    template: Template
    source: str
    file: Path

    @property
    def slot(self) -> str:
        return self.template.shot_slot


def read_parent(file: Path) -> Parent:
    source = file.read_text("utf-8").replace("\r\n", "\n")
    return Parent(parse(source, str(file)), source, file)


def pieces_of(parent: Parent) -> Pieces:
    parts = {part.role: part.source for part in parent.template.parts if part.role in ("system", "user")}
    return {
        "system": parts.get("system", ""),
        "user": parts["user"],
        "examples": examples_text(CandidateExamples()),
        "settings": json.dumps({key: _head_value(parent.template, key) for key in SETTINGS}, ensure_ascii=False),
    }


def examples_text(examples: CandidateExamples) -> str:
    shown = {"form": examples.form, "k": examples.k, "rows": examples.rows}
    return json.dumps(shown, ensure_ascii=False)


def examples_in(pieces: Pieces) -> CandidateExamples:
    read = json.loads(pieces["examples"])
    return CandidateExamples(read["form"], read["k"], tuple((row[0], row[1]) for row in read["rows"]))


def pool_file(examples: CandidateExamples) -> str:
    """Return the name of the file with the candidate's examples.

    The name contains a hash of the examples, so files with equal examples have equal names.
    """
    return f"examples-{sha256(examples_text(examples).encode()).hexdigest()[:10]}.jsonl"


def pool_text(examples: CandidateExamples) -> str:
    lines = (json.dumps({"text": given, "label": answer}, ensure_ascii=False) for given, answer in examples.rows)
    return "".join(f"{line}\n" for line in lines)


def assembled(parent: Parent, pieces: Pieces, *, provenance: Mapping[str, Any] | None = None) -> str:
    """Return the source of the next version, with status `candidate`."""
    examples = examples_in(pieces)
    head, body = _split(parent.source)
    head = set_key(head, "version", str(parent.template.version + 1))
    head = set_key(head, "status", "candidate")
    for key, value in json.loads(pieces["settings"]).items():
        head = set_key(head, key, _flow(value) if value else "")
    if examples.form != "kept":
        head = set_key(head, "examples", _examples_key(examples, parent.slot))
    if provenance is not None:
        head = set_key(head, "provenance", _flow(provenance))
    return f"---\n{head}---\n{_body(parent, body, pieces, examples)}"


def set_key(head: str, key: str, value: str) -> str:
    """Replace one top-level key of the front matter, or add it at the end. An empty `value` removes the key."""
    lines = head.splitlines(keepends=True)
    first = next((index for index, line in enumerate(lines) if line.startswith(f"{key}:")), len(lines))
    after = first + 1
    while after < len(lines) and not _KEY.match(lines[after]) and not lines[after].startswith("#"):
        after += 1
    written = [f"{key}: {value}\n"] if value else []
    return "".join([*lines[:first], *written, *lines[after:]])


def _split(source: str) -> tuple[str, str]:
    _, head, body = re.split(r"^---[ \t]*\n", source, maxsplit=2, flags=re.MULTILINE)
    return head, body


def _body(parent: Parent, body: str, pieces: Pieces, examples: CandidateExamples) -> str:
    """Return the body of the template: the sections for first calls and retries, then the messages."""
    parts = []
    if pieces["system"].strip():
        parts.append(f"# system\n{pieces['system'].strip()}\n")
    if examples.form == "kept":
        parts += [f"# {role}\n{text}\n" for role, text in _between(body)]
    elif examples.form == "turns":
        for given, answer in examples.rows:
            message = _filled(pieces["user"], parent.slot, given)
            parts.append(f"# user\n{message}\n# assistant\n{quoted(answer)}\n")
    user = pieces["user"].strip()
    if examples.form == "list" and "examples" not in user:
        user = f"{LISTED}\n\n{user}"  # jinja removes the first line break after a tag
    parts.append(f"# user\n{user}\n")
    others = [f"# {role}\n{text}\n" for role, text in _sections(body) if role.startswith(("call ", "retry"))]
    return "".join([*others, *parts])


def _between(body: str) -> Sequence[tuple[str, str]]:
    """Return the turns between the system part and the last user part."""
    turns = [(role, text) for role, text in _sections(body) if role in ("user", "assistant")]
    return turns[:-1]


def _sections(body: str) -> list[tuple[str, str]]:
    sections: list[tuple[str, list[str]]] = []
    for line in body.split("\n"):
        heading = HEADING.match(line)
        if heading:
            sections.append((heading[1], []))
        elif sections:
            sections[-1][1].append(line)
    return [(role, "\n".join(lines).strip()) for role, lines in sections]


def _filled(user: str, slot: str, given: str) -> str:
    """Return the user's message with `given` as the value of the slot."""
    place = re.compile(r"\{\{-?\s*(?:" + re.escape(slot) + r"|query)\s*(?:\|[^}]*)?-?\}\}")
    return place.sub(lambda _: quoted(given), user.strip())


def quoted(text: str) -> str:
    """Return template source that renders to this text. Tags and headings in the text are escaped."""
    lines = [f"\\{line}" if HEADING.match(line) else line for line in text.strip().split("\n")]
    plain = "\n".join(lines)
    return f"{{% raw %}}{plain}{{% endraw %}}" if _TAG.search(plain) else plain


def quotable(text: str) -> bool:
    """Return whether a text can be put into a template's source."""
    return bool(text.strip()) and "endraw" not in text


def _examples_key(examples: CandidateExamples, slot: str) -> str:
    if examples.form == "list":
        return _flow([{"input": given, "output": answer} for given, answer in examples.rows])
    if examples.form == "nearest":
        return _flow(
            {
                "pool": pool_file(examples),
                "k": examples.k,
                "input": "text",
                "output": "label",
                "as": "turns",
                "slot": slot,
            }
        )
    return ""


def _head_value(template: Template, key: str) -> Any:
    if key == "technique":
        return str(template.technique)
    if key == "reasoning":
        reasoning = template.reasoning
        return {"mode": reasoning.mode, "marker": reasoning.marker} if reasoning.mode != "keep" else {}
    output = template.output
    fields = {"max_tokens": output.max_tokens, "temperature": output.temperature, "stop": list(output.stop)}
    return {name: value for name, value in fields.items() if value not in (0, None, [])}


def _flow(value: Any) -> str:
    """Return the value as JSON, which is valid YAML. A simple word is returned without quotes."""
    return (
        value
        if isinstance(value, str) and value.isascii() and value.replace("-", "").isalnum()
        else json.dumps(value, ensure_ascii=False)
    )


def uses_pool(template: Template) -> bool:
    return isinstance(template.examples, ExamplePool)
