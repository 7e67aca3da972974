"""Reads PPTX files. Each slide becomes a page with its title as a heading. The texts, tables, charts and notes of the
slide follow in order.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from gateway.context.reading.archive import Archive
from gateway.context.reading.document import Document
from gateway.context.reading.table import Table
from gateway.context.reading.writer import DocumentWriter

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
TITLES = ("title", "ctrTitle")
SMALL = ("sldNum", "dt", "ftr", "hdr")
"""Types of placeholders that repeat on every slide: slide number, date, footer and header."""


def read_pptx(path: Path, raw: bytes) -> Document:
    archive = Archive(path, raw)
    writer = DocumentWriter()
    for number, part in enumerate(_slides(archive), 1):
        root = archive.xml(part)
        writer.page()
        if root.get("show") == "0":
            writer.leave_out(f"slide {number}: is hidden")
            continue
        _Slide(archive, part, writer).write(root)
    if any(name.startswith("ppt/comments/") for name in archive.names):
        writer.leave_out("comments")
    return writer.document("PPTX")


def _slides(archive: Archive) -> list[str]:
    """Return the names of the parts that hold slides, in the order of the presentation."""
    part = "ppt/presentation.xml"
    targets = _targets(archive, part)
    ids = [slide.get(R + "id") or "" for slide in archive.xml(part).iter(P + "sldId")]
    slides = [targets[id][1] for id in ids if id in targets and targets[id][1] in archive]
    numbered = [(int(match[1]), match[0]) for name in archive.names if (match := _SLIDE.fullmatch(name))]
    return slides or [name for _, name in sorted(numbered)]


_SLIDE = re.compile(r"ppt/slides/slide(\d{1,6})\.xml")


def _targets(archive: Archive, part: str) -> dict[str, tuple[str, str]]:
    """Return the relationships of a part by id, each as (kind, target)."""
    folder, name = posixpath.split(part)
    relations = f"{folder}/_rels/{name}.rels"
    if relations not in archive:
        return {}
    targets = {}
    for relation in archive.xml(relations):
        kind = (relation.get("Type") or "").rpartition("/")[2]
        target = relation.get("Target") or ""
        full = target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"{folder}/{target}")
        targets[relation.get("Id") or ""] = (kind, full)
    return targets


class _Slide:
    """Writes the shapes of a slide: first the title, then the others in order."""

    def __init__(self, archive: Archive, part: str, writer: DocumentWriter) -> None:
        self._archive = archive
        self._targets = _targets(archive, part)
        self._writer = writer

    def write(self, root: Any) -> None:
        shapes = root.find(f"{P}cSld/{P}spTree")
        if shapes is None:
            return
        title = next((shape for shape in shapes.iter(P + "sp") if _placeholder(shape) in TITLES), None)
        if title is not None:
            self._writer.heading(1, " ".join(_paragraphs(title)))
        self._shapes(shapes, title)
        for kind, target in self._targets.values():
            if kind == "notesSlide" and target in self._archive:
                self._notes(self._archive.xml(target))

    def _shapes(self, parent: Any, title: Any) -> None:
        for shape in parent:
            name = shape.tag.rpartition("}")[2] if isinstance(shape.tag, str) else ""
            if shape is title:
                continue
            if name == "sp":
                self._text(shape)
            elif name == "pic":
                properties = shape.find(f"{P}nvPicPr/{P}cNvPr")
                self._writer.picture((properties.get("descr") or "") if properties is not None else "")
            elif name == "graphicFrame":
                self._frame(shape)
            elif name == "AlternateContent" and len(shape):
                self._shapes(shape[0], title)
            elif name in ("grpSp", "Choice"):
                self._shapes(shape, title)

    def _text(self, shape: Any) -> None:
        if _placeholder(shape) in SMALL:
            return
        listed = _placeholder(shape) in ("body", "obj", "")
        lines = _paragraphs(shape, bullets=listed and shape.find(f"{P}nvSpPr/{P}nvPr/{P}ph") is not None)
        self._writer.paragraph("\n".join(lines))

    def _frame(self, frame: Any) -> None:
        for table in frame.iter(A + "tbl"):
            rows = [[_cell(cell) for cell in row.iterfind(A + "tc")] for row in table.iterfind(A + "tr")]
            properties = table.find(A + "tblPr")
            titled = properties is not None and properties.get("firstRow") == "1"
            self._writer.table(Table(rows, titles=1 if titled else None))
            return
        for child in frame.iter(C + "chart"):
            _, target = self._targets.get(child.get(R + "id") or "", ("", ""))
            if target in self._archive:
                self._writer.table(_chart(self._archive.xml(target)))
        for kind, target in self._targets.values():
            if kind == "diagramData" and target in self._archive and frame.find(".//" + C + "chart") is None:
                texts = [" ".join(_paragraphs(part)) for part in self._archive.xml(target).iter(_DIAGRAM_TEXT)]
                self._writer.paragraph("\n".join(f"- {text}" for text in texts if text))

    def _notes(self, root: Any) -> None:
        lines = []
        for shape in root.iter(P + "sp"):
            if _placeholder(shape) == "body":
                lines += _paragraphs(shape)
        if lines:
            self._writer.paragraph("Notes: " + "\n".join(lines))


_DIAGRAM_TEXT = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}t"


def _placeholder(shape: Any) -> str:
    mark = shape.find(f"{P}nvSpPr/{P}nvPr/{P}ph")
    return "" if mark is None else mark.get("type") or "obj"


def _paragraphs(shape: Any, bullets: bool = False) -> list[str]:
    lines = []
    for paragraph in shape.iter(A + "p"):
        text = ""
        for part in paragraph.iter(A + "t", A + "br"):
            text += "\n" if part.tag == A + "br" else part.text or ""
        if text.strip():
            lines.append(f"- {text.strip()}" if bullets else text.strip())
    return lines if len(lines) > 1 else [line.removeprefix("- ") for line in lines]


def _cell(cell: Any) -> str:
    return "" if cell.get("hMerge") == "1" or cell.get("vMerge") == "1" else " ".join(_paragraphs(cell))


def _chart(root: Any) -> Table:
    """Return a chart's numbers as a table, with a row for each category and a column for each series."""
    title = root.find(f".//{C}title")
    caption = " ".join("".join(part.itertext()) for part in title.iter(A + "t")) if title is not None else ""
    names, columns = [""], []
    categories: list[str] = []
    for series in root.iter(C + "ser"):
        names.append(_points(series.find(C + "tx")).get(0, ""))
        categories = list(_points(series.find(C + "cat")).values()) or categories
        columns.append(_points(series.find(C + "val")))
    rows = [[category, *(column.get(place, "") for column in columns)] for place, category in enumerate(categories)]
    return Table([names, *rows], f"Chart: {caption}" if caption else "Chart", titles=1)


def _points(element: Any) -> dict[int, str]:
    if element is None:
        return {}
    points = {}
    for point in element.iter(C + "pt"):
        value = point.find(C + "v")
        place = point.get("idx") or "0"
        points[int(place) if place.isdigit() else 0] = (value.text or "") if value is not None else ""
    return points
