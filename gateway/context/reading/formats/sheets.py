"""Reads workbooks and tables. calamine reads XLSX, XLS, XLSB and ODS. Python's `csv` module reads CSV and TSV."""

import csv
import datetime
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.context.reading.archive import Archive
from gateway.context.reading.document import Document
from gateway.context.reading.formats.cells import Place, check_records, percentages
from gateway.context.reading.formats.compound import repacked, workbook_stream
from gateway.context.reading.formats.markdown import decode, text_report
from gateway.context.reading.kinds import OLE
from gateway.context.reading.table import Table
from gateway.context.reading.writer import DocumentWriter

PLAIN_NAME = re.compile(r"(?:Sheet|Tabelle|Feuille?|Hoja|Foglio|Planilha|Blad|Лист|工作表|シート)\s?\d*", re.IGNORECASE)
DELIMITERS = (",", ";", "\t", "|")
SAMPLE_LINES = 50
LONGEST_FIELD = 10_000_000
LONGEST_CAPTION = 200


def read_workbook(path: Path, raw: bytes) -> Document:
    from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

    writer = DocumentWriter()
    kind = path.suffix.lstrip(".").upper() or "XLSX"
    shown_as: dict[str, set[Place]] = {}
    if raw.startswith(b"PK"):
        archive = Archive(path, raw)
        _count_extras(archive, writer)
        shown_as = percentages(archive, path)
    elif raw.startswith(OLE):
        records = workbook_stream(raw)
        check_records(path, records)
        raw = repacked(records)
    book = CalamineWorkbook.from_filelike(io.BytesIO(raw))
    sheets = [sheet for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    for sheet in sheets:
        writer.page()
        if sheet.visible != SheetVisibleEnum.Visible:
            writer.leave_out(f"hidden sheet {sheet.name}")
            continue
        rows = _rows(book.get_sheet_by_name(sheet.name), shown_as.get(sheet.name, set()))
        if any(map(any, rows)) and not (len(sheets) == 1 and PLAIN_NAME.fullmatch(sheet.name)):
            writer.heading(1, sheet.name)
        write_tables(writer, rows)
    return writer.document(kind)


def _rows(sheet: Any, percent: set[Place]) -> list[list[str]]:
    """Return the texts of the cells. `percent` holds the places of the cells that show a percentage."""
    top, left = sheet.start or (0, 0)
    return [
        [
            _percentage(value) if (row, column) in percent and isinstance(value, float) else _cell(value)
            for column, value in enumerate(values, left)
        ]
        for row, values in enumerate(sheet.to_python(), top)
    ]


def _percentage(value: float) -> str:
    return f"{_cell(round(value * 100, 10))}%"


def _count_extras(archive: Archive, writer: DocumentWriter) -> None:
    """Count the pictures, and report charts and comments as left out. Only cells are read as text."""
    for name in archive.names:
        if re.match(r"(?:xl/media|Pictures)/.", name):
            writer.picture()
        elif re.match(r"xl/charts/chart\d", name):
            writer.leave_out("charts")
        elif re.match(r"xl/(?:comments|threadedComments)", name):
            writer.leave_out("comments on cells")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        # a workbook has one type for all numbers
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(round(value, 12))
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ")
    return str(value)


def write_tables(writer: DocumentWriter, rows: Sequence[Sequence[str]]) -> None:
    """Write the tables of a sheet. Empty rows separate tables. A block of one or two rows with a single cell is text,
    and the caption of the table below it.
    """
    text = ""
    for block in _blocks(rows):
        if max(sum(map(bool, row)) for row in block) == 1 and len(block) < 3:
            writer.paragraph(text)
            text = "\n".join(next(filter(None, row)) for row in block)
        elif len(text) <= LONGEST_CAPTION:
            writer.table(Table(block, text))
            text = ""
        else:
            writer.paragraph(text)
            writer.table(Table(block))
            text = ""
    writer.paragraph(text)


def _blocks(rows: Sequence[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    block: list[Sequence[str]] = []
    for row in rows:
        if any(cell.strip() for cell in row):
            block.append(row)
        elif block:
            yield block
            block = []
    if block:
        yield block


def read_csv(path: Path, raw: bytes) -> Document:
    text = decode(path, raw)
    report = text_report("CSV", text)
    writer = DocumentWriter()
    lines = text.text
    if lines[:4].lower() == "sep=":
        lines = lines.partition("\n")[2]
    csv.field_size_limit(LONGEST_FIELD)
    delimiter = "\t" if path.suffix.lower() in (".tsv", ".tab") else _delimiter(lines)
    rows = list(csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter))
    writer.table(Table(rows))
    for what in report.left_out:
        writer.leave_out(what)
    return writer.document("TSV" if delimiter == "\t" else "CSV", report.encoding, report.certainty)


def _delimiter(text: str) -> str:
    """Return the delimiter that splits most of the first lines into the same number of fields."""
    sample = "\n".join(text[:200_000].split("\n")[:SAMPLE_LINES])
    best, delimiter = 0.0, ","
    for sign in DELIMITERS:
        try:
            widths = Counter(len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=sign) if row)
        except csv.Error:
            continue
        width, count = max(widths.items(), key=lambda pair: (pair[0] > 1, pair[1]), default=(1, 0))
        share = count / (sum(widths.values()) or 1) + min(width, 50) / 1000
        if width > 1 and share > best:
            best, delimiter = share, sign
    return delimiter
