"""What calamine does not tell about the cells of a workbook: which show a percentage, and how far a sheet reaches."""

import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.context.reading.archive import Archive
from gateway.errors import CollectionError

if TYPE_CHECKING:
    from lxml.etree import _Element

Place = tuple[int, int]
"""(row, column), from 0."""
MOST_CELLS = 20_000_000
"""calamine makes a rectangle of all cells of a sheet. A damaged or hostile file of a kilobyte may ask for billions."""
PERCENT_IDS = {"9", "10"}
QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')
CELL = re.compile(rb'<(?:\w+:)?c\b[^>]*?\br="([A-Z]{1,3})(\d{1,7})"([^>]*)>')
STYLE = re.compile(rb'\bs="(\d{1,6})"')
BIFF_CELLS = {0x0006, 0x00BD, 0x00BE, 0x00FD, 0x0201, 0x0203, 0x0204, 0x0205, 0x027E, 0x0207}
"""The types of records that begin with a row and a column."""
BIFF_SHEET, BIFF_DIMENSIONS, BIFF_STRINGS = 0x0809, 0x0200, 0x00FC
SHORTEST_STRING = 3
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def percentages(archive: Archive, name: object) -> dict[str, set[Place]]:
    """Return for each sheet of an XLSX file the cells whose format is a percentage. Raises `CollectionError` if a sheet
    reaches too far.
    """
    styles = _percent_styles(archive)
    places: dict[str, set[Place]] = {}
    for sheet, member in _sheets(archive):
        last_row = last_column = 0
        shown = places.setdefault(sheet, set())
        for column, row, rest in CELL.findall(archive.read(member)):
            place = int(row) - 1, _number(column)
            last_row, last_column = max(last_row, place[0]), max(last_column, place[1])
            if (style := STYLE.search(rest)) and int(style[1]) in styles:
                shown.add(place)
        _check(name, last_row, last_column)
    return places


def check_records(name: object, content: bytes) -> None:
    """Raises `CollectionError` if a sheet of an XLS file reaches too far. `content` holds the records of the file."""
    last_row = last_column = 0
    for kind, record in _records(content):
        if kind == BIFF_SHEET:
            last_row = last_column = 0
        elif kind in BIFF_CELLS and len(record) >= 4:
            row, column = struct.unpack_from("<HH", record)
            last_row, last_column = max(last_row, row), max(last_column, column)
            _check(name, last_row, last_column)
        elif kind == BIFF_DIMENSIONS and len(record) >= 10:
            # rows have four bytes since Excel 97, and two before
            first, end, left, right = struct.unpack_from("<IIHH" if len(record) >= 12 else "<HHHH", record)
            _check(name, end - first, right - left)
        elif kind == BIFF_STRINGS and len(record) >= 8:
            count = struct.unpack_from("<I", record, 4)[0]
            if count * SHORTEST_STRING > len(content):
                raise CollectionError(f"{name}: is damaged: it claims to hold {count} texts")


def _records(content: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + 4 <= len(content):
        kind, size = struct.unpack_from("<HH", content, place)
        yield kind, content[place + 4 : place + 4 + size]
        place += 4 + size


def _check(name: object, last_row: int, last_column: int) -> None:
    if (last_row + 1) * (last_column + 1) > MOST_CELLS:
        raise CollectionError(f"{name}: a sheet reaches over {last_row + 1} rows and {last_column + 1} columns")


def _number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def _percent_styles(archive: Archive) -> set[int]:
    if "xl/styles.xml" not in archive:
        return set()
    root = archive.xml("xl/styles.xml")
    own = {
        str(each.get("numFmtId"))
        for each in root.iterfind(".//{*}numFmts/{*}numFmt")
        if "%" in QUOTED.sub("", each.get("formatCode") or "")
    }
    formats = [each.get("numFmtId") for each in root.iterfind("{*}cellXfs/{*}xf")]
    return {place for place, each in enumerate(formats) if each in own | PERCENT_IDS}


def _sheets(archive: Archive) -> Iterator[tuple[str, str]]:
    """Yield the name and the member of each sheet."""
    if "xl/workbook.xml" not in archive or "xl/_rels/workbook.xml.rels" not in archive:
        return
    relations: _Element = archive.xml("xl/_rels/workbook.xml.rels")
    targets = {each.get("Id"): (each.get("Target") or "").lstrip("/") for each in relations}
    for sheet in archive.xml("xl/workbook.xml").iterfind("{*}sheets/{*}sheet"):
        target = targets.get(sheet.get(RELATION), "")
        member = target if target.startswith("xl/") else f"xl/{target}"
        if target and member in archive:
            yield sheet.get("name") or "", member
