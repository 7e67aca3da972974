"""Cells of workbooks: percentages as they are shown, and sheets that reach too far."""

import io
import struct
import zipfile
from pathlib import Path

import pytest

from gateway.context.reading.formats.cells import check_records
from gateway.context.reading.formats.compound import repacked, workbook_stream
from gateway.context.reading.parse_process import ParseProcess
from gateway.context.reading.readers import read
from gateway.errors import CollectionError
from tests.doubles.documents import ods, packed, xlsx

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHEET = "xl/worksheets/sheet1.xml"


def workbook(cells: str, formats: str = "") -> bytes:
    """A workbook of one sheet with these cells. Style 1 is the percentage 0%, style 2 has the given format."""
    with zipfile.ZipFile(io.BytesIO(xlsx({"Seeds": [["a"]]}))) as archive:
        members: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    members[SHEET] = f'<worksheet xmlns="{MAIN}"><sheetData>{cells}</sheetData></worksheet>'
    members["xl/styles.xml"] = (
        f'<styleSheet xmlns="{MAIN}"><numFmts><numFmt numFmtId="170" formatCode="{formats}"/></numFmts>'
        '<cellXfs><xf numFmtId="0"/><xf numFmtId="9"/><xf numFmtId="170"/></cellXfs></styleSheet>'
    )
    return packed(members)


@pytest.mark.parametrize(
    ("style", "value", "shown"),
    [
        (1, "0.87", "87%"),
        (2, "0.125", "12.5%"),
        (2, "1", "100%"),
        (2, "0.07", "7%"),
        (0, "0.87", "0.87"),
    ],
)
def test_a_percentage_is_read_as_it_is_shown(tmp_path: Path, style: int, value: str, shown: str) -> None:
    cells = (
        '<row r="3"><c r="B3" t="inlineStr"><is><t>Name</t></is></c>'
        '<c r="C3" t="inlineStr"><is><t>Germination</t></is></c></row>'
        f'<row r="4"><c r="B4" t="inlineStr"><is><t>Kale</t></is></c><c r="C4" s="{style}"><v>{value}</v></c></row>'
    )
    path = tmp_path / "a.xlsx"
    path.write_bytes(workbook(cells, "0.0%"))

    assert f"Kale | {shown}" in read(path).text


def test_a_quoted_percent_sign_is_no_percentage(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(workbook('<row r="1"><c r="A1" s="2"><v>0.5</v></c></row>', "0.0 &quot;%&quot;"))

    assert read(path).text.endswith("0.5")


def test_a_sheet_that_reaches_too_far_is_refused(tmp_path: Path) -> None:
    cells = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    path = tmp_path / "a.xlsx"
    path.write_bytes(workbook(cells))

    with pytest.raises(CollectionError, match="reaches over 1048576 rows and 16384 columns"):
        read(path)


def biff(*places: tuple[int, int]) -> bytes:
    """The records of a sheet with numbers at the places."""
    sheet = struct.pack("<HHHH", 0x0809, 4, 0x0600, 0x0010)
    return sheet + b"".join(struct.pack("<HHHHHd", 0x0203, 14, row, column, 0, 1.0) for row, column in places)


def test_the_cells_of_an_old_workbook_are_counted_before_it_is_read() -> None:
    check_records("a.xls", biff((0, 0), (60_000, 5)) + biff((10, 250)))
    with pytest.raises(CollectionError, match="reaches over 65001 rows and 60001 columns"):
        check_records("a.xls", biff((0, 0), (65_000, 1), (3, 60_000)))
    with pytest.raises(CollectionError, match="reaches over 65537 rows and 1025 columns"):
        check_records("a.xls", struct.pack("<HHIIHHH", 0x0200, 14, 0, 65_536, 0, 1024, 0))
    with pytest.raises(CollectionError, match="claims to hold 9999 texts"):
        check_records("a.xls", struct.pack("<HHII", 0x00FC, 8, 9999, 9999))


GLOBALS = struct.pack("<HHHHHH", 0x0809, 8, 0x0600, 0x0005, 0, 0)
END = struct.pack("<HH", 0x000A, 0)


def old_workbook(number: float) -> bytes:
    """An XLS file of one sheet `S` with a number in its first cell."""
    name = struct.pack("<IBBBB", len(GLOBALS) + 4 + 9 + len(END), 0, 0, 1, 0) + b"S"
    sheet = struct.pack("<HHHHHH", 0x0809, 8, 0x0600, 0x0010, 0, 0)
    sheet += struct.pack("<HHHHHd", 0x0203, 14, 0, 0, 0, number) + END
    return repacked(GLOBALS + struct.pack("<HH", 0x0085, len(name)) + name + END + sheet)


def test_an_old_workbook_is_read_from_its_records(tmp_path: Path) -> None:
    path = tmp_path / "a.xls"
    path.write_bytes(old_workbook(187.5))

    assert read(path).text.endswith("187.5")
    assert workbook_stream(path.read_bytes()).startswith(GLOBALS)


def test_an_old_workbook_whose_sectors_go_in_a_circle_is_read_or_refused(tmp_path: Path) -> None:
    content = bytearray(old_workbook(187.5))
    content[4096 + 4 : 4096 + 8] = struct.pack("<I", 1)  # the sector of the folder is followed by itself
    path = tmp_path / "a.xls"
    path.write_bytes(content)
    parse = ParseProcess(time_s=30.0)

    try:
        parse(path)
    except CollectionError as error:
        assert "crashed" not in str(error)
    finally:
        parse.close()


def test_a_sheet_of_an_opendocument_file_has_no_styles_of_xlsx(tmp_path: Path) -> None:
    path = tmp_path / "a.ods"
    path.write_bytes(ods([["Name", "Share"], ["Kale", 0.87]]))

    assert "Kale | 0.87" in read(path).text
