"""PDFs: text that opens without a password is read, form values too, tables as rows."""

from pathlib import Path

import pytest

from gateway.context.reading.formats.pdf.layout import blocks
from gateway.context.reading.formats.pdf.lines import TableBlock, TextLine
from gateway.context.reading.formats.pdf.words import PageContent, PageWord, Rule
from gateway.context.reading.readers import read, read_bytes
from gateway.context.reading.summary import summary_lines
from tests.doubles.documents import Placed, pdf

DOCUMENTS = Path(__file__).parents[3] / "golden" / "documents"


@pytest.mark.parametrize("name", ["perm-AES-128.pdf", "perm-AES-256.pdf"])
def test_a_pdf_that_only_forbids_printing_is_read(name: str) -> None:
    assert "The warranty lasts twenty-four months." in read(DOCUMENTS / name).text


def test_values_typed_into_a_form_stand_behind_their_names() -> None:
    assert read(DOCUMENTS / "form.pdf").text == "Name: Ottilie Brandt"


def test_a_page_without_text_is_named() -> None:
    texts: list[list[Placed]] = [[("The first page has text.", 72, 700, 12)], [], [("The third too.", 72, 700, 12)]]
    scanned = pdf(*texts, picture_on=1)

    report = read_bytes(Path("a.pdf"), scanned).report

    assert (report.pages, report.pictures, report.left_out) == (3, 1, ("page 2: no text, only a picture",))
    assert summary_lines(report) == ["3 pages, 1 picture", "left out: page 2: no text, only a picture"]


def test_a_running_header_stays_once_and_lines_that_differ_by_a_number_stay_all() -> None:
    pages: list[list[Placed]] = [
        [
            ("Handbook, internal", 72, 770, 9),
            (f"The code of room {page} is new.", 72, 600, 10),
            (f"Page {page}", 72, 20, 9),
        ]
        for page in range(5)
    ]

    text = read_bytes(Path("a.pdf"), pdf(*pages)).text

    assert text.count("Handbook") == 1
    assert [f"room {page} " in text for page in range(5)] == [True] * 5
    assert "Page 3" not in text


def line(text: str, left: float, top: float) -> list[PageWord]:
    placed, at = [], left
    for word in text.split():
        placed.append(PageWord(word, at, at + 5 * len(word), top, top + 10))
        at += 5 * len(word) + 3
    return placed


def texts(content: PageContent) -> list[str | list[list[str]]]:
    return [block.text if isinstance(block, TextLine) else block.rows for block in blocks(content)]


def test_two_columns_of_prose_are_read_one_after_the_other() -> None:
    left = [line(f"left column line number {row} of it", 50, 100 + 12 * row) for row in range(6)]
    right = [line(f"right column line number {row} of it", 320, 100 + 12 * row) for row in range(6)]
    content = PageContent([word for row in [*left, *right] for word in row])

    assert texts(content) == [
        f"{side} column line number {row} of it" for side in ("left", "right") for row in range(6)
    ]


def test_aligned_short_cells_are_a_table() -> None:
    rows = [("Country", "Limit"), ("Japan", "187"), ("Korea", "160"), ("Peru", "90")]
    placed = [
        word
        for place, (country, limit) in enumerate(rows)
        for word in [*line(country, 50, 100 + 16 * place), *line(limit, 200, 100 + 16 * place)]
    ]
    content = PageContent([*line("All amounts are per night and in euros.", 50, 60), *placed])

    assert texts(content) == ["All amounts are per night and in euros.", [list(row) for row in rows]]


def test_cells_of_several_lines_are_one_row_between_ruled_lines() -> None:
    placed = [*line("Item", 52, 102), *line("Note", 152, 102), *line("Desk", 52, 122), *line("oak and", 152, 122)]
    placed += [*line("steel", 152, 133), *line("Lamp", 52, 152), *line("brass", 152, 152)]
    across = [Rule(at, 50, 300) for at in (100, 120, 150, 170)]
    down = [Rule(at, 100, 170) for at in (50, 150, 300)]

    (table,) = blocks(PageContent(placed, across=across, down=down))

    assert isinstance(table, TableBlock)
    assert table.rows == [["Item", "Note"], ["Desk", "oak and steel"], ["Lamp", "brass"]]
