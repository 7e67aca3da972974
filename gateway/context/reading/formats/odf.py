"""Reads ODT and ODP files: text, headings, lists, tables and notes in order. `sheets.py` reads ODS files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.context.reading.archive import Archive
from gateway.context.reading.document import Document
from gateway.context.reading.table import Table
from gateway.context.reading.writer import DocumentWriter

OASIS = "{urn:oasis:names:tc:opendocument:xmlns:"
TEXT, TABLE, DRAW = f"{OASIS}text:1.0}}", f"{OASIS}table:1.0}}", f"{OASIS}drawing:1.0}}"
PASSED_OVER = {"tracked-changes", "annotation-end", "sequence-decls", "forms", "variable-decls", "user-field-decls"}
MOST_REPEATED = 100


def read_odf(path: Path, raw: bytes) -> Document:
    archive = Archive(path, raw)
    reader = _Odf(DocumentWriter())
    if "styles.xml" in archive:
        for part in archive.xml("styles.xml").iter(f"{OASIS}style:1.0}}header", f"{OASIS}style:1.0}}footer"):
            reader.blocks(part)
    body = archive.xml("content.xml").find(f"{OASIS}office:1.0}}body")
    if body is not None:
        reader.blocks(body)
    return reader.writer.document("ODP" if path.suffix.lower() == ".odp" else "ODT")


class _Odf:
    def __init__(self, writer: DocumentWriter) -> None:
        self.writer = writer
        self._frames: list[Any] = []

    def blocks(self, parent: Any) -> None:
        for child in parent:
            name = _name(child)
            if name == "h":
                level = child.get(TEXT + "outline-level") or "1"
                self.writer.heading(int(level) if level.isdigit() else 1, self._line(child))
                self._framed()
            elif name == "p":
                self.writer.paragraph(self._line(child))
                self._framed()
            elif name == "list":
                self._list(child)
            elif name == "table":
                self._table(child)
            elif name == "page" and child.tag.startswith(DRAW):
                self.writer.page()
                self.blocks(child)
            elif name == "notes":
                self.writer.paragraph("Notes: " + "\n".join(filter(None, map(self._line, child.iter(TEXT + "p")))))
            elif name == "image":
                self._picture(parent)
            elif name not in PASSED_OVER:
                self.blocks(child)

    def _framed(self) -> None:
        """Write the text boxes and pictures of a paragraph after this paragraph."""
        frames, self._frames = self._frames, []
        for frame in frames:
            self.blocks(frame)

    def _picture(self, frame: Any) -> None:
        texts = [part.text or "" for part in frame if _name(part) in ("title", "desc")]
        self.writer.picture(" ".join(filter(None, texts)))

    def _list(self, element: Any) -> None:
        for item in element:
            for child in item:
                if _name(child) == "list":
                    self._list(child)
                elif _name(child) in ("p", "h") and (line := self._line(child)):
                    self.writer.paragraph(f"- {line}", "\n")
                    self._framed()

    def _table(self, element: Any) -> None:
        rows, titles = [], 0
        for row in element.iter(TABLE + "table-row"):
            if next((ancestor for ancestor in row.iterancestors(TABLE + "table")), None) is not element:
                continue
            titles += _name(row.getparent()) == "table-header-rows"
            rows.append(list(self._cells(row)))
        self.writer.table(Table(rows, titles=titles or None))
        self._framed()

    def _cells(self, row: Any) -> Iterator[str]:
        for cell in row:
            repeated = cell.get(TABLE + "number-columns-repeated") or "1"
            text = " ".join(filter(None, map(self._line, cell.iter(TEXT + "p", TEXT + "h"))))
            yield from [text] * min(int(repeated) if repeated.isdigit() else 1, MOST_REPEATED)

    def _line(self, element: Any) -> str:
        return "".join(self._inline(element)).strip()

    def _inline(self, element: Any) -> Iterator[str]:
        yield element.text or ""
        for child in element:
            name = _name(child)
            if name in ("s", "tab", "line-break"):
                yield "\n" if name == "line-break" else " "
            elif name == "note":
                yield " [" + " ".join("".join(body.itertext()) for body in child.iter(TEXT + "note-body")).strip() + "]"
            elif name == "annotation":
                self.writer.leave_out("comments")
            elif name == "frame":
                self._frames.append(child)
            elif name not in PASSED_OVER:
                yield from self._inline(child)
            yield child.tail or ""


def _name(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
