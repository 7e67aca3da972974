"""Reads PDF files page by page. Headings are recognised by their size or bold type. The rows of tables are written with
titles.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.context.reading.document import Document
from gateway.context.reading.formats.pdf.layout import BULLET, CAPTION, SHORT, Block, blocks
from gateway.context.reading.formats.pdf.lines import TableBlock, TextLine
from gateway.context.reading.formats.pdf.recognised import recognised_page
from gateway.context.reading.formats.pdf.words import page_content
from gateway.context.reading.recognition import NotRecognised, Recogniser
from gateway.context.reading.table import Table, title_rows
from gateway.context.reading.writer import DocumentWriter
from gateway.errors import CollectionError

MOST_PAGES = 20_000
PASSWORD = 4
"""pdfium's error code for a file that needs a password."""
LARGER = 1.15
"""A line is a heading if its height is more than this multiple of the usual height."""
LONGEST_HEADING = 120
RUNNING_PAGES = 3
"""A line is a running header or footer if it occurs at the top or bottom of at least this many pages, and of at least
half of all pages.
"""
COLUMN = 100.0
"""The width of an interval in points. Lines that begin within the same interval belong to one column."""
BULLETS = "•◦▪‣●○■·"
PAGE_NUMBER = re.compile(r"(?:-\s?)?\d{1,5}(?:\s?-)?|(?:page|seite) \d{1,5}(?: (?:of|von) \d{1,5})?", re.IGNORECASE)


class PdfPage(Struct, frozen=True):
    number: int
    blocks: list[Block]
    notes: list[str]
    pictures: int
    unmapped: int
    recognised: bool = False
    """Whether the text was recognised in a picture. The heights of such lines say nothing about headings."""
    problem: str = ""
    """Why the page has no text."""


def read_pdf(path: Path, raw: bytes, recogniser: Recogniser) -> Document:
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(raw)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", 0) == PASSWORD:
            raise CollectionError(f"{path}: is encrypted; save it without a password") from error
        raise
    form = None
    if pdf.get_formtype():
        pdf.init_forms()
        form = pdf.formenv
    writer = DocumentWriter()
    pages = [_page(pdf, number, form, writer, recogniser) for number in range(min(len(pdf), MOST_PAGES))]
    if len(pdf) > MOST_PAGES:
        writer.leave_out(f"pages after {MOST_PAGES}")
    _write(writer, _without_running_lines(pages))
    for number in range(pdf.count_attachments()):
        writer.leave_out(f"attached file {pdf.get_attachment(number).get_name()}")
    return writer.document("PDF")


def _page(pdf: Any, number: int, form: Any, writer: DocumentWriter, recogniser: Recogniser) -> PdfPage:
    import pypdfium2

    try:
        page = pdf[number]
    except pypdfium2.PdfiumError:
        writer.leave_out(f"page {number + 1}: is damaged")
        return PdfPage(number + 1, [], [], 0, 0)
    try:
        content = page_content(page, form)
        read = PdfPage(number + 1, blocks(content), content.notes, content.pictures, content.unmapped)
        return read if read.blocks or not read.pictures else _without_text(read, page, recogniser)
    finally:
        page.close()


def _without_text(read: PdfPage, page: Any, recogniser: Recogniser) -> PdfPage:
    """Recognise the text of a page that has only pictures, if the configuration asks for it."""
    only = "no text, only a picture" if read.pictures == 1 else "no text, only pictures"
    if not recogniser.is_on:
        return replace(read, problem=only)
    try:
        found = recognised_page(page, recogniser)
    except NotRecognised as error:
        return replace(read, problem=f"{only}; {error}")
    return replace(
        read, blocks=found, recognised=bool(found), problem="" if found else f"{only}, in which none was found"
    )


def _without_running_lines(pages: list[PdfPage]) -> list[PdfPage]:
    """Remove lines that hold only a page number, and all but the first occurrence of each running header or footer."""
    edges = Counter(text for page in pages for text in {line.text for line in _edges(page)})
    running = {text for text, count in edges.items() if count >= max(RUNNING_PAGES, len(pages) // 2)}
    seen: set[str] = set()
    cleaned = []
    for page in pages:
        again = running & seen
        gone = {id(line) for line in _edges(page) if line.text in again or PAGE_NUMBER.fullmatch(line.text)}
        seen |= {line.text for line in _edges(page)}
        cleaned.append(replace(page, blocks=[block for block in page.blocks if id(block) not in gone]))
    return cleaned


def _edges(page: PdfPage) -> list[TextLine]:
    lines = [block for block in page.blocks if isinstance(block, TextLine)]
    lines.sort(key=lambda line: line.top)
    return [*lines[:2], *lines[-2:]] if len(lines) > 4 else lines[:1] + lines[-1:]


def _write(writer: DocumentWriter, pages: Sequence[PdfPage]) -> None:
    sizes, plain = _Sizes([page for page in pages if not page.recognised]), _Sizes([])
    titles: list[str] = []
    for page in pages:
        writer.page()
        titles = _write_page(writer, page.blocks, plain if page.recognised else sizes, titles)
        for note in page.notes:
            writer.paragraph(f"[Note: {note}]")
        for _ in range(page.pictures):
            writer.picture()
        if page.recognised:
            writer.recognised()
        if page.problem:
            writer.leave_out(f"page {page.number}: {page.problem}")
        if page.unmapped > 20:
            writer.leave_out(f"page {page.number}: letters of a font that does not map them to characters")


class _Sizes:
    """Maps the heights of lines to heading levels."""

    def __init__(self, pages: Sequence[PdfPage]) -> None:
        heights = Counter[float]()
        for page in pages:
            for block in page.blocks:
                if isinstance(block, TextLine):
                    heights[_rounded(block)] += len(block.text)
                else:
                    heights[0.0] += 1
        texts = [height for height, count in heights.items() for _ in range(min(count, 10_000)) if height]
        self.usual = median(texts) if texts else 0.0
        larger = sorted((height for height in heights if height > LARGER * self.usual), reverse=True)
        self._levels = {height: min(level, 5) for level, height in enumerate(larger, 1)}

    def level(self, line: TextLine) -> int:
        """Return the heading level of a line, or 0 for plain text."""
        if len(line.text) > LONGEST_HEADING or not re.search(r"[^\W\d_]", line.text):
            return 0
        if level := self._levels.get(_rounded(line), 0):
            return level
        alone = line.bold and not line.text.rstrip().endswith((".", ",", ";", ":"))
        return min(len(self._levels) + 1, 6) if alone else 0


def _rounded(line: TextLine) -> float:
    return round(line.height * 2) / 2


def write_recognised(writer: DocumentWriter, found: Sequence[Block]) -> None:
    """Write the text that was recognised in a picture."""
    writer.recognised()
    _write_page(writer, found, _Sizes([]), [])


def _write_page(writer: DocumentWriter, content: Sequence[Block], sizes: _Sizes, titles: list[str]) -> list[str]:
    """Write a page. Returns the title row of a table at the end of the page, since that table may continue on the next
    page. The list is empty if the page does not end with a table.
    """
    lines: list[TextLine] = []
    carried = titles
    for block in content:
        if isinstance(block, TextLine) and not sizes.level(block):
            lines.append(block)
            continue
        caption = ""
        if isinstance(block, TableBlock) and lines and CAPTION.match(lines[-1].text):
            caption = lines.pop().text
        if lines:
            carried = []
        _write_lines(writer, lines)
        lines = []
        if isinstance(block, TextLine):
            writer.heading(sizes.level(block), block.text)
            carried = []
        else:
            carried = _write_table(writer, block, caption, carried)
    _write_lines(writer, lines)
    return [] if lines else carried


def _write_table(writer: DocumentWriter, block: TableBlock, caption: str, carried: list[str]) -> list[str]:
    """Write a table, and return its title row. `carried` is the title row of a table that may continue here. If this
    table has the same number of columns, it gets that title row.
    """
    rows = block.rows
    if carried and rows and len(carried) == len(rows[0]) and rows[0] != carried:
        rows = [carried, *rows]
    table = Table(rows, caption)
    writer.table(table)
    count = title_rows(rows)
    return rows[count - 1] if count else []


def _write_lines(writer: DocumentWriter, lines: Sequence[TextLine]) -> None:
    """Write lines. The lines of a paragraph are joined, and a short line ends a paragraph."""
    if not lines:
        return
    edges: dict[int, float] = {}
    for line in lines:
        column = int(line.left // COLUMN)
        edges[column] = max(edges.get(column, 0.0), line.right)
    text = _start(lines[0])
    for before, line in pairwise(lines):
        item = BULLET.match(line.words[0].text) is not None and len(line.words) > 1
        far = line.top - before.bottom > 0.6 * line.height or line.bottom < before.top
        if far:
            writer.paragraph(text)
            text = _start(line)
        elif item or before.right - before.left < SHORT * (edges[int(before.left // COLUMN)] - before.left):
            text = f"{text}\n{_start(line)}"
        else:
            text = _joined(text, line.text)
    writer.paragraph(text)


def _start(line: TextLine) -> str:
    first = line.words[0].text
    return f"- {' '.join(word.text for word in line.words[1:])}" if first in BULLETS and line.words[1:] else line.text


def _joined(text: str, line: str) -> str:
    """Append a line to a text. If the text ends with a hyphenated word, the two halves of this word are joined."""
    if text.endswith("\xad"):
        return text[:-1] + line
    if re.search(r"[^\W\d_]-$", text[-2:]) and line[:1].islower():
        return text[:-1] + line
    return f"{text} {line}"
