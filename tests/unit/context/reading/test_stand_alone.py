"""A chunk can be understood without its neighbours: title rows, lines ahead of lists, whole records."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.context.excerpt import excerpts
from gateway.context.pack import SourceBudget
from gateway.context.reading.chunk import Cut, chunk, lead_length
from gateway.context.reading.document import Document
from gateway.context.reading.readers import read
from gateway.context.reading.table import Table
from gateway.context.reading.writer import DocumentWriter
from gateway.exchange import Chunk

TITLES = ["Country", "Hotel limit", "Approver"]


def words(text: str) -> int:
    return len(text.split())


def limits(rows: int = 40) -> Document:
    writer = DocumentWriter()
    writer.heading(1, "Travel")
    writer.paragraph("All amounts are per night.")
    writer.table(
        Table([TITLES, *[[f"Land{row}", f"{100 + row} EUR", f"Person {row}"] for row in range(rows)]], "Table 3")
    )
    writer.paragraph("Exceptions need a form.")
    return writer.document()


def cut(document: Document, limit: int = 40) -> list[Chunk]:
    return chunk(document, "c", "s", words, Cut(limit), 256)


def test_each_chunk_of_a_table_has_its_caption_and_title_row() -> None:
    document = limits()

    chunks = cut(document)

    assert len(chunks) > 5
    for piece in chunks[1:-1]:
        assert piece.text.startswith("Table 3\nCountry | Hotel limit | Approver\nLand")
        assert piece.text.endswith(document.text[piece.start : piece.end])
    assert chunks[0].text.startswith("Travel\n\nAll amounts are per night.")
    assert all(words(piece.text) <= 40 for piece in chunks)


def test_no_chunk_is_a_title_row_alone() -> None:
    writer = DocumentWriter()
    writer.heading(1, "Limits")
    writer.table(Table([TITLES, *[[f"Land {row}", "1 EUR", "a b c d e f g h"] for row in range(30)]]))

    assert all("Land" in piece.text for piece in cut(writer.document(), 30))


def test_no_chunk_is_only_headings() -> None:
    writer = DocumentWriter()
    writer.heading(1, "Travel costs of the whole company")
    writer.heading(2, "Limits for hotels, by country")
    writer.table(Table([TITLES, *[[f"Land {row}", "1 EUR", "a b c d e f g h"] for row in range(30)]]))

    assert all("Land" in piece.text for piece in cut(writer.document(), 60))


def test_the_last_rows_of_a_table_do_not_stand_alone_where_they_fit_the_chunk_before() -> None:
    writer = DocumentWriter()
    writer.table(Table([TITLES, *[[f"Land{row}", "1 EUR", "a b c d e"] for row in range(9)]]))

    *_, last = cut(writer.document(), 72)

    assert last.text.count("Land") > 1


def test_a_table_without_a_heading_stands_below_the_name_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "hotel-limits_2026.csv"
    file.write_text("Country,Limit\nJapan,187\nPeru,90\n")

    (piece,) = cut(read(file))

    assert (piece.heading, piece.text) == ("hotel limits 2026", "Country | Limit\nJapan | 187\nPeru | 90")


def test_rows_and_records_are_never_cut(tmp_path: Path) -> None:
    lines = "".join(f"{row},{'long ' * (5 * row % 60)}note {row}\n" for row in range(60))
    (tmp_path / "a.csv").write_text("id,note\n" + lines, "utf-8")
    document = read(tmp_path / "a.csv")

    chunks = cut(document)

    edges = {piece.start for piece in chunks[1:]}
    assert edges <= {start for start, _ in document.records}


def test_items_of_a_list_repeat_the_line_ahead_of_it(tmp_path: Path) -> None:
    items = "".join(f"- item number {row} of the list\n" for row in range(30))
    (tmp_path / "a.md").write_text(f"# Trip\n\nBring these to Oslo:\n\n{items}\nThe end.\n", "utf-8")

    chunks = cut(read(tmp_path / "a.md"))

    assert all("Bring these to Oslo:" in piece.text for piece in chunks[:-1])


def test_a_markdown_table_repeats_its_title_row(tmp_path: Path) -> None:
    rows = "".join(f"| Land{row} | {row} EUR |\n" for row in range(40))
    (tmp_path / "a.md").write_text(f"# Trip\n\n| Country | Limit |\n|---|---|\n{rows}", "utf-8")

    assert all("| Country | Limit |" in piece.text for piece in cut(read(tmp_path / "a.md")))


def test_an_excerpt_of_a_table_keeps_its_title_row() -> None:
    chunks = cut(limits(200), 200)
    row = next(piece for piece in chunks if lead_length(piece))

    def shares(_collection: str, texts: object) -> list[float]:
        return [1.0 if "Land30 " in text else 0.0 for text in texts]  # type: ignore[attr-defined]

    (taken,) = excerpts([row], SourceBudget(90, 200), shares)

    assert taken.text.startswith("Table 3\nCountry | Hotel limit | Approver\n")
    assert len(taken.text) < len(row.text)


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.text("abc 1,.\n", max_size=30), min_size=1, max_size=4), max_size=12),
    st.text("ab c", max_size=20),
    st.integers(5, 60),
)
def test_nothing_of_a_table_is_lost(rows: list[list[str]], caption: str, limit: int) -> None:
    writer = DocumentWriter()
    writer.paragraph("Before it.")
    writer.table(Table(rows, caption))
    writer.paragraph("After it.")
    document = writer.document()

    joined = " ".join(document.text[piece.start : piece.end] for piece in cut(document, limit))

    assert joined.split() == document.text.split()
    assert all(word in document.text for row in rows for cell in row for word in cell.split())
