"""Reads JSON, JSONL, XML and notebooks as trees. A record stays whole, and the names of the branches around it become
headings.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.context.reading.archive import parsed
from gateway.context.reading.document import Document
from gateway.context.reading.formats.markdown import decode, read_markdown
from gateway.context.reading.writer import DocumentWriter

SMALL_CHARACTERS = 1000
"""A branch with at most this many characters is written as a single record."""
LONGEST_RECORD_LINE = 400
"""A record with more characters than this is written with one line for each field."""

Tree = str | list[tuple[str, Any]]
"""A text, or a list of (name, part) in order. The parts of a JSON list have empty names."""


class Literal(str):
    """A number in the form that the file has: 1.10 stays 1.10."""

    __slots__ = ()


def read_json(path: Path, raw: bytes) -> Document:
    text = decode(path, raw)
    writer = DocumentWriter()
    write_tree(writer, _tree(_loads(text.text)))
    return writer.document("JSON", text.encoding, text.certainty)


def read_jsonl(path: Path, raw: bytes) -> Document:
    text = decode(path, raw)
    writer = DocumentWriter()
    for line in text.text.split("\n"):
        if not line.strip():
            continue
        try:
            tree = _tree(_loads(line))
        except ValueError:
            writer.leave_out("lines that are not JSON")
            continue
        write_record(writer, tree)
    return writer.document("JSONL", text.encoding, text.certainty)


def _loads(text: str) -> Any:
    return json.loads(text, parse_int=Literal, parse_float=Literal, parse_constant=Literal)


def _tree(value: Any) -> Tree:
    if isinstance(value, dict):
        return [(str(name), _tree(part)) for name, part in value.items()]
    if isinstance(value, list):
        return [("", _tree(part)) for part in value]
    if isinstance(value, str):
        return value
    return {None: "null", True: "true", False: "false"}[value]


def read_xml(path: Path, raw: bytes) -> Document:
    root: Any = parsed(raw)
    writer = DocumentWriter()
    writer.heading(1, _name(root))
    write_tree(writer, _element(root), 2)
    return writer.document("XML")


def _element(element: Any) -> Tree:
    """Return the attributes and children of an element. If text stands between the children, the whole element is
    returned as text.
    """
    children = [child for child in element if isinstance(child.tag, str)]
    text = (element.text or "").strip()
    if any((child.tail or "").strip() for child in children) or (text and children):
        return " ".join("".join(element.itertext()).split())
    attributes: list[tuple[str, Any]] = [(name.rpartition("}")[2], value) for name, value in element.attrib.items()]
    if not children:
        return [*attributes, ("", text)] if attributes and text else attributes or text
    return [*attributes, *((_name(child), _element(child)) for child in children)]


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def write_tree(writer: DocumentWriter, tree: Tree, level: int = 1) -> None:
    """Write a tree. Each item of a list of records becomes a record. Other branches become a record if they are small,
    and a heading with the parts below it if they are large.
    """
    if isinstance(tree, str):
        writer.paragraph(tree)
        return
    fields: list[tuple[str, Tree]] = []
    for name, part in tree:
        if isinstance(part, str):
            fields.append((name, part))
            continue
        if _is_record(part) and (_repeats(tree, name) or _length(part) <= SMALL_CHARACTERS):
            write_record(writer, fields)
            fields = []
            write_record(writer, part if not name or _repeats(tree, name) else [(name, part)])
            continue
        write_record(writer, fields)
        fields = []
        writer.heading(level, name)
        write_tree(writer, part, level + 1)
    write_record(writer, fields)


def _repeats(tree: Sequence[tuple[str, Tree]], name: str) -> bool:
    """Whether several parts have this name, as the items of a list do."""
    first = [other for other, _ in tree[:2]]
    return first.count(name) > 1 or (len(tree) > 1 and tree[-1][0] == tree[-2][0] == name)


def _is_record(tree: Tree) -> bool:
    """Whether a branch is a single record. A branch that contains a list of records is not one."""
    if isinstance(tree, str):
        return True
    nested = [(name, part) for name, part in tree if not isinstance(part, str)]
    if len(nested) > 1 and nested[0][0] == nested[1][0]:
        return False
    return all(_is_record(part) for _, part in nested)


def _length(tree: Tree) -> int:
    return len(tree) if isinstance(tree, str) else sum(len(name) + 3 + _length(part) for name, part in tree)


def write_record(writer: DocumentWriter, tree: Tree) -> None:
    """Write a short record as one line. A longer record gets one line for each field."""
    fields = [f"{name}: {text}" if name else text for name, text in _flat(tree) if text.strip()]
    line = " | ".join(" ".join(field.split()) for field in fields)
    if len(line) <= LONGEST_RECORD_LINE:
        writer.record(line)
    else:
        writer.record("\n".join(field.strip() for field in fields), "\n\n")


def _flat(tree: Tree, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each field of a tree as (path, text). A list of texts is a single field."""
    if isinstance(tree, str):
        yield prefix, tree
        return
    if tree and all(not name and isinstance(part, str) for name, part in tree):
        yield prefix, ", ".join(part for _, part in tree)
        return
    for name, part in tree:
        yield from _flat(part, f"{prefix}.{name}".strip(".") if name else prefix)


def read_notebook(path: Path, raw: bytes) -> Document:
    """Read the cells of a notebook. Text cells are read as Markdown, and code cells are copied unchanged. Outputs are
    left out.
    """
    text = decode(path, raw)
    notebook = json.loads(text.text)
    writer = DocumentWriter()
    language = notebook.get("metadata", {}).get("kernelspec", {}).get("language", "")
    cells = notebook.get("cells") or [cell for sheet in notebook.get("worksheets", []) for cell in sheet["cells"]]
    for cell in cells:
        source = cell.get("source", cell.get("input", ""))
        source = source if isinstance(source, str) else "".join(source)
        if cell.get("cell_type") == "code":
            writer.record(f"```{language}\n{source.strip()}\n```" if source.strip() else "", "\n\n")
        else:
            writer.append(read_markdown(path, source.encode("utf-8", "replace")))
        for _ in cell.get("outputs") or ():
            writer.leave_out("outputs of cells")
    return writer.document("notebook")
