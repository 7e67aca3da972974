"""Reads labelled prompts from files: JSON lines, JSON in the form of CLINC150, or CSV in the form of BANKING77."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.errors import ForewordError
from gateway.prompt.language.detect import language_of

OUTSIDE = frozenset({"", "oos", "none", "unknown", "out_of_scope", "out-of-scope", "no_intent"})
"""The labels that mean "no intent", in lower case."""
NONE = ""
NO_TEMPLATE = "none:"


def outside(intent: str) -> str:
    """Return the class for prompts whose intent has no template."""
    return intent if intent.startswith(NO_TEMPLATE) else f"{NO_TEMPLATE}{intent}"


def is_outside(name: str) -> bool:
    """Return whether a class is for prompts without a template."""
    return name == NONE or name.startswith(NO_TEMPLATE)


class NotLabelled(ForewordError):
    """A file of labelled prompts cannot be read. The message gives file, line and expected form."""


class Labelled(Struct, frozen=True):
    """One prompt with its intent; "" means no intent."""

    text: str
    intent: str
    language: str = ""


def read_labelled(files: Iterable[Path]) -> tuple[Labelled, ...]:
    """Read all rows of the files, with each prompt once. Raises `NotLabelled`."""
    rows: dict[str, Labelled] = {}
    for file in files:
        for row in _rows(file):
            rows.setdefault(row.text, row)
    return tuple(rows.values())


def write_labelled(rows: Iterable[Labelled], file: Path) -> None:
    """Write the rows as JSON lines, which `read_labelled` can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": r.text, "label": r.intent, "language": r.language}, ensure_ascii=False) for r in rows]
    draft = file.with_suffix(".tmp")
    draft.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    draft.replace(file)


def _rows(file: Path) -> Iterator[Labelled]:
    outside = file.stem.lower().startswith("oos")
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise NotLabelled(f"{file} cannot be read: {error}") from None
    for line, row, label in _pairs(file, text):
        if not isinstance(row, str) or not isinstance(label, str):
            raise NotLabelled(f"{file}:{line}: expected a text and its label, both as text")
        if row.strip():
            intent = NONE if outside or label.strip().lower() in OUTSIDE else label.strip()
            yield Labelled(row.strip(), intent, _language(row))


def _pairs(file: Path, text: str) -> Iterator[tuple[int, Any, Any]]:
    if file.suffix == ".csv":
        yield from _csv(file, text)
    elif file.suffix == ".json":
        yield from _json(file, text)
    else:
        yield from _lines(file, text)


def _lines(file: Path, text: str) -> Iterator[tuple[int, Any, Any]]:
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would also split inside a prompt
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield number, row["text"], next(row[key] for key in ("label", "intent", "category") if key in row)
        except (ValueError, TypeError, KeyError, StopIteration):
            what = f'{file}:{number}: expected {{"text": "...", "label": "..."}}, got {line[:60]!r}'
            raise NotLabelled(what) from None


def _json(file: Path, text: str) -> Iterator[tuple[int, Any, Any]]:
    """Read CLINC150's file: a list of [text, label] for each split. A single list is accepted, too."""
    try:
        table = json.loads(text)
        splits = table.values() if isinstance(table, dict) else [table]
        for split in splits:
            for pair in split:
                prompt, label = pair
                yield 1, prompt, label
    except (ValueError, TypeError):
        raise NotLabelled(f"{file}: expected lists of [text, label], as CLINC150's data_full.json has them") from None


def _csv(file: Path, text: str) -> Iterator[tuple[int, Any, Any]]:
    reader = csv.DictReader(io.StringIO(text))
    names = reader.fieldnames or ()
    label = next((name for name in ("label", "category", "intent") if name in names), None)
    if "text" not in names or label is None:
        raise NotLabelled(f"{file}:1: expected the columns text and category (or label), got {', '.join(names)}")
    for row in reader:
        yield reader.line_num, row["text"], row[label]


def _language(text: str) -> str:
    """Return the language of the text. If no language is detected ("50 * 2"), the text counts as Chinese if it has a
    Chinese character, else as English.
    """
    return language_of(text) or ("en" if text.isascii() else "")
