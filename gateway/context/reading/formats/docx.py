"""Reads DOCX files. The text is read in order, directly from the XML. Libraries with an object model skip content
controls, tracked insertions, nested tables, text boxes, footnotes and headers.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.context.reading.archive import Archive
from gateway.context.reading.document import Document
from gateway.context.reading.table import Table
from gateway.context.reading.writer import DocumentWriter

if TYPE_CHECKING:
    from lxml.etree import _Element

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
HEADING_NAME = re.compile(r"heading ([1-6])")
DELETED = {"del", "moveFrom", "instrText", "delText", "rPr", "pPr", "tblPr", "sectPr", "sdtPr"}
SPACES = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": " "}
NOTES = {"footnoteReference": "footnotes", "endnoteReference": "endnotes"}
DEEPEST = 60
"""Tables are read up to this nesting depth. Deeper tables are reported as left out."""


def read_docx(path: Path, raw: bytes) -> Document:
    archive = Archive(path, raw)
    part = next((name for name in archive.names if re.fullmatch(r"word/document\d*\.xml", name)), "word/document.xml")
    reader = _Docx(archive)
    reader.around("header")
    reader.blocks(archive.xml(part))
    reader.around("footer")
    if "word/comments.xml" in archive:
        reader.writer.leave_out("comments")
    return reader.writer.document("DOCX")


class _Docx:
    """Reads the elements of a document. The text of a text box is written after the paragraph that contains the box."""

    def __init__(self, archive: Archive) -> None:
        self.writer = DocumentWriter()
        self._archive = archive
        self._levels = _levels(archive)
        self._notes = {kind: _notes(archive, kind) for kind in NOTES.values()}
        self._boxes: list[_Element] = []

    def around(self, kind: str) -> None:
        """Write all headers or all footers. A repeated text is written only once."""
        texts: dict[str, None] = {}
        for name in self._archive.names:
            if re.fullmatch(rf"word/{kind}\d*\.xml", name):
                lines = [self._line(paragraph) for paragraph in self._archive.xml(name).iter(W + "p")]
                texts["\n".join(filter(None, lines))] = None
        for text in texts:
            self.writer.paragraph(text)

    def blocks(self, parent: "_Element", depth: int = 0) -> None:
        for child in parent:
            name = _name(child)
            if name == "p":
                self._paragraph(child, depth)
            elif name == "tbl":
                self._table(child, depth)
            elif name == "altChunk":
                self.writer.leave_out("an embedded document")
            elif name not in DELETED and len(child):
                self.blocks(child, depth)

    def _paragraph(self, paragraph: "_Element", depth: int) -> None:
        text = self._line(paragraph)
        level = self._level(paragraph)
        if level:
            self.writer.heading(level, text)
        elif paragraph.find(f"{W}pPr/{W}numPr") is not None and text:
            self.writer.paragraph(f"- {text}", "\n")
        else:
            self.writer.paragraph(text)
        boxes, self._boxes = self._boxes, []
        for box in boxes:
            self.blocks(box, depth + 1)

    def _level(self, paragraph: "_Element") -> int:
        outline = paragraph.find(f"{W}pPr/{W}outlineLvl")
        if outline is not None and (outline.get(W + "val") or "9") < "6":
            return int(outline.get(W + "val") or 0) + 1
        style = paragraph.find(f"{W}pPr/{W}pStyle")
        return self._levels.get(style.get(W + "val") or "", 0) if style is not None else 0

    def _line(self, paragraph: "_Element") -> str:
        return "".join(self._inline(paragraph)).strip()

    def _inline(self, parent: "_Element") -> Iterator[str]:
        for child in parent:
            name = _name(child)
            if name == "t":
                yield child.text or ""
            elif name in SPACES:
                yield SPACES[name]
            elif name in NOTES:
                note = self._notes[NOTES[name]].get(child.get(W + "id") or "")
                yield f" [{note}]" if note else ""
            elif name == "txbxContent":
                self._boxes.append(child)
            elif name == "AlternateContent":
                # both children of the element have the same content
                yield from self._inline(child[:1] if len(child) else child)
            elif name == "docPr":
                self.writer.picture()
                yield f" [Picture: {child.get('descr')}] " if child.get("descr") else ""
            elif name == "r" and child.find(f"{W}rPr/{W}vanish") is not None:
                self.writer.leave_out("hidden text")
            elif name not in DELETED:
                yield from self._inline(child)

    def _table(self, table: "_Element", depth: int) -> None:
        if depth > DEEPEST:
            self.writer.leave_out("a table within too many tables")
            return
        rows: list[list[str]] = []
        tied: list[int] = []
        inner: list[_Element] = []
        for row in _below(table, "tr"):
            cells: list[str] = []
            continued = False
            for cell in _below(row, "tc"):
                inner += _below(cell, "tbl")
                cells += [self._cell(cell), *[""] * (_span(cell) - 1)]
                continued |= _continues(cell)
            if continued:
                tied.append(len(rows))
            rows.append(cells)
        titled = table.find(f"{W}tr/{W}trPr/{W}tblHeader") is not None
        boxes, self._boxes = self._boxes, []
        if max(map(len, rows), default=0) == 1:
            # a table with one column is a frame around text
            for row in _below(table, "tr"):
                for cell in _below(row, "tc"):
                    self.blocks(cell, depth + 1)
            return
        self.writer.table(Table(rows, titles=1 if titled else None, tied=tied))
        for nested in inner:
            self._table(nested, depth + 1)
        for box in boxes:
            self.blocks(box, depth + 1)

    def _cell(self, cell: "_Element") -> str:
        return " ".join(filter(None, (self._line(paragraph) for paragraph in _below(cell, "p"))))


def _name(element: "_Element") -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _below(parent: "_Element", name: str) -> "Iterator[_Element]":
    """Yield the nearest descendants with this tag name. Content controls and tracked changes may lie between the parent
    and these descendants.
    """
    for child in parent:
        tag = _name(child)
        if tag == name:
            yield child
        elif tag not in DELETED and tag not in ("tbl", "p", "tc", "tr"):
            yield from _below(child, name)


def _span(cell: "_Element") -> int:
    span = cell.find(f"{W}tcPr/{W}gridSpan")
    width = (span.get(W + "val") or "1") if span is not None else "1"
    return min(int(width), 1000) if width.isdigit() else 1


def _continues(cell: "_Element") -> bool:
    """Whether the cell is merged with the cell above it."""
    merge = cell.find(f"{W}tcPr/{W}vMerge")
    return merge is not None and merge.get(W + "val") != "restart"


def _levels(archive: Archive) -> dict[str, int]:
    """Return the heading levels of the paragraph styles. Word's built-in styles have English names in documents of
    every language.
    """
    levels: dict[str, int] = {}
    if "word/styles.xml" not in archive:
        return levels
    based = {}
    for style in archive.xml("word/styles.xml").iter(W + "style"):
        id, name = style.get(W + "styleId") or "", style.find(W + "name")
        style_name = ((name.get(W + "val") or "") if name is not None else "").lower()
        outline = style.find(f"{W}pPr/{W}outlineLvl")
        parent = style.find(W + "basedOn")
        based[id] = (parent.get(W + "val") or "") if parent is not None else ""
        if match := HEADING_NAME.fullmatch(style_name):
            levels[id] = int(match[1])
        elif style_name == "title":
            levels[id] = 1
        elif outline is not None and (outline.get(W + "val") or "9") < "6":
            levels[id] = int(outline.get(W + "val") or 0) + 1
    for id, parent_id in based.items():
        if id not in levels and parent_id in levels:
            levels[id] = levels[parent_id]
    return levels


def _notes(archive: Archive, kind: str) -> dict[str, str]:
    if f"word/{kind}.xml" not in archive:
        return {}
    notes = {}
    for note in archive.xml(f"word/{kind}.xml"):
        text = " ".join("".join(part.text or "" for part in note.iter(W + "t")).split())
        notes[note.get(W + "id") or ""] = text
    return notes
