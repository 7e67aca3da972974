"""Everyday files: what each kind holds is read, and what is not read is reported."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from gateway.context.reading.document import Document
from gateway.context.reading.readers import read
from gateway.errors import CollectionError
from tests.doubles.documents import epub, ods, odt, packed, pptx, xlsx

LIMITS = [["Country", "Hotel limit", "Approver"], ["Japan", 187, "Mira Okafor"], ["Peru", 90.5, "Jon Vale"]]
TABLE = "Country | Hotel limit | Approver\nJapan | 187 | Mira Okafor\nPeru | 90.5 | Jon Vale"


def written(folder: Path, name: str, content: bytes | str) -> Document:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read(path)


def titles(document: Document) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in document.headings]


def test_a_workbook_is_its_sheets_with_their_tables(tmp_path: Path) -> None:
    book = xlsx({"Limits": [["Limits of 2026"], *LIMITS], "Secret": [["a", "b"]]}, hidden=["Secret"])

    document = written(tmp_path, "a.xlsx", book)

    assert document.text == f"Limits\n\nLimits of 2026\n{TABLE}"
    assert document.leads[0].text == "Limits of 2026\nCountry | Hotel limit | Approver"
    assert document.report.left_out == ("hidden sheet Secret",)


def test_a_table_of_many_columns_has_its_titles_beside_the_values(tmp_path: Path) -> None:
    rows = [[f"Title {column}" for column in range(12)], *[[column * row for column in range(12)] for row in (1, 2)]]

    document = written(tmp_path, "a.xlsx", xlsx({"Sheet1": rows}))

    assert document.text.startswith("Title 0: 0 | Title 1: 1 | Title 2: 2 | ")


def test_an_opendocument_sheet_is_read_as_a_workbook(tmp_path: Path) -> None:
    assert TABLE in written(tmp_path, "a.ods", ods(LIMITS)).text


@pytest.mark.parametrize(("name", "sign"), [("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t"), ("a.csv", "|")])
def test_a_text_table_is_parted_by_the_sign_it_uses(tmp_path: Path, name: str, sign: str) -> None:
    lines = [sign.join(str(cell) for cell in row) for row in LIMITS]

    document = written(tmp_path, name, "\r\n".join(lines))

    assert document.text == TABLE
    assert len(document.records) == 2


def test_a_quoted_field_may_hold_lines_and_signs(tmp_path: Path) -> None:
    document = written(tmp_path, "a.csv", 'name,note\nAda,"first, then\nsecond"\nBob,none\n')

    assert document.text == "name | note\nAda | first, then second\nBob | none"


def test_slides_are_pages_with_titles_tables_and_notes(tmp_path: Path) -> None:
    slides = [("Plan", "Start in May\nEnd in June", "Ask Mira first."), ("Limits", "Per night", "")]

    document = written(tmp_path, "a.pptx", pptx(slides, LIMITS))

    assert (
        document.text
        == f"Plan\n\n- Start in May\n- End in June\n\nNotes: Ask Mira first.\n\nLimits\n\nPer night\n\n{TABLE}"
    )
    assert titles(document) == [(1, "Plan"), (1, "Limits")]
    assert [document.text[start:].split("\n")[0] for start in document.pages] == ["Plan", "Limits"]


def test_an_opendocument_text_has_headings_lists_tables_and_notes(tmp_path: Path) -> None:
    note = "<text:note><text:note-body><text:p>As of May.</text:p></text:note-body></text:note>"
    item = "<text:list-item><text:p>Ticket</text:p></text:list-item>"
    table = "".join(
        "<table:table-row>"
        + "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in cells)
        + "</table:table-row>"
        for cells in LIMITS
    )
    body = f'<text:h text:outline-level="2">Travel</text:h><text:p>By train.{note}</text:p>'
    body += f"<text:list>{item}{item}</text:list><table:table>{table}</table:table>"

    document = written(tmp_path, "a.odt", odt(body))

    assert document.text == f"Travel\n\nBy train. [As of May.]\n\n- Ticket\n- Ticket\n\n{TABLE}"
    assert titles(document) == [(2, "Travel")]


def test_rich_text_is_read_with_its_tables(tmp_path: Path) -> None:
    source = (
        r"{\rtf1\ansi\ansicpg1252 Caf\'e9 rules\par\trowd Japan\cell 187\cell\row\trowd Peru\cell 90\cell\row Done\par}"
    )

    document = written(tmp_path, "a.doc", source)

    assert document.text == "Café rules\n\nJapan | 187\nPeru | 90\n\nDone"


def test_a_book_is_its_chapters_in_order(tmp_path: Path) -> None:
    book = epub(
        "Birds", {"one.xhtml": "<h1>Herons</h1><p>They wade.</p>", "two.xhtml": "<h1>Owls</h1><p>They fly.</p>"}
    )

    document = written(tmp_path, "a.epub", book)

    assert document.text == "Birds\n\nHerons\n\nThey wade.\n\nOwls\n\nThey fly."
    assert titles(document) == [(1, "Birds"), (2, "Herons"), (2, "Owls")]


MAIL = """From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>
To: Mira <m@example.org>
Subject: Limits
Date: Mon, 4 May 2026 10:00:00 +0200
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=XX

--XX
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

The caf=E9 list is attached.
--XX
Content-Type: application/octet-stream; name="limits.csv"
Content-Disposition: attachment; filename="limits.csv"
Content-Transfer-Encoding: base64

Q291bnRyeSxMaW1pdApKYXBhbiwxODcKUGVydSw5MAo=
--XX
Content-Type: image/png; name="logo.png"
Content-Disposition: attachment; filename="logo.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--XX--
"""


@pytest.mark.parametrize("name", ["a.eml", "mail.txt", "mail"])
def test_a_message_is_its_headers_text_and_attachments(tmp_path: Path, name: str) -> None:
    document = written(tmp_path, name, MAIL)

    assert document.text == (
        "Limits\n\nFrom: Jürgen <j@example.org>\nTo: Mira <m@example.org>\nDate: Mon, 4 May 2026 10:00:00 +0200"
        "\n\nThe café list is attached.\n\nlimits.csv\n\nCountry | Limit\nJapan | 187\nPeru | 90"
    )
    assert titles(document) == [(1, "Limits"), (2, "limits.csv")]
    assert document.report.left_out == ("attached picture logo.png",)


def test_a_mailbox_is_its_messages(tmp_path: Path) -> None:
    box = "".join(f"From a@b Mon May 4 2026\nFrom: a@b\nSubject: {name}\n\nBody {name}\n\n" for name in ("one", "two"))

    assert titles(written(tmp_path, "a.mbox", box)) == [(1, "one"), (1, "two")]


def test_a_saved_page_is_its_html(tmp_path: Path) -> None:
    page = "MIME-Version: 1.0\nSnapshot-Content-Location: http://x\nSubject: x\nFrom: <Saved>\n"
    page += (
        'Content-Type: multipart/related; boundary="B"\n\n--B\nContent-Type: text/html\n\n<p>Herons wade.</p>\n--B--\n'
    )

    assert written(tmp_path, "a.mhtml", page).text == "Herons wade."


def test_a_notebook_is_its_cells_without_outputs(tmp_path: Path) -> None:
    cells = '[{"cell_type": "markdown", "source": ["# Rates\\n", "By country."]},'
    cells += '{"cell_type": "code", "source": "rate = 1.5", "outputs": [{"text": "noise"}]}]'

    document = written(tmp_path, "a.ipynb", '{"cells": ' + cells + ', "metadata": {}}')

    assert document.text == "# Rates\nBy country.\n\n```\nrate = 1.5\n```"
    assert document.report.left_out == ("outputs of cells",)


def test_json_is_read_by_record_and_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    source = (
        '{"version": 1.10, "users": [{"name": "Ada", "tags": ["a", "b"]}, {"name": "Bob", "home": {"city": "Rome"}}]}'
    )

    document = written(tmp_path, "a.json", source)

    assert document.text == "version: 1.10\n\nusers\n\nname: Ada | tags: a, b\nname: Bob | home.city: Rome"
    assert [document.text[start:end] for start, end in document.records][1:] == [
        "name: Ada | tags: a, b",
        "name: Bob | home.city: Rome",
    ]


def test_lines_of_json_are_records_and_broken_ones_are_counted(tmp_path: Path) -> None:
    document = written(tmp_path, "a.jsonl", '{"id": 1}\n{broken\n{"id": 2}\n')

    assert document.text == "id: 1\nid: 2"
    assert document.report.left_out == ("lines that are not JSON",)


def test_xml_is_read_by_record(tmp_path: Path) -> None:
    source = '<shop><item id="7"><name>Lamp</name><price>30</price></item><item id="8"><name>Desk</name></item></shop>'

    assert written(tmp_path, "a.xml", source).text == "shop\n\nid: 7 | name: Lamp | price: 30\nid: 8 | name: Desk"


def test_subtitles_are_lines_with_their_time(tmp_path: Path) -> None:
    source = "1\n00:00:01,000 --> 00:00:02,000\n<i>Herons</i> wade.\n\n2\n00:01:05,500 --> 00:01:07,000\nOwls\nfly.\n"

    assert written(tmp_path, "a.srt", source).text == "[00:00:01] Herons wade.\n[00:01:05] Owls fly."


def test_headings_of_rst_and_latex_are_known(tmp_path: Path) -> None:
    assert titles(written(tmp_path, "a.rst", "Birds\n=====\n\nHerons\n------\n\nThey wade.\n")) == [
        (1, "Birds"),
        (2, "Herons"),
    ]
    assert titles(written(tmp_path, "a.tex", "\\section{Birds \\emph{all}}\nText.\n")) == [(2, "Birds \\emph{all}")]


@pytest.mark.parametrize("name", ["a.txt", "a", "a.pdf", "a.md"])
def test_the_kind_is_told_by_the_bytes_before_the_name(tmp_path: Path, name: str) -> None:
    assert TABLE in written(tmp_path, name, xlsx({"Limits": LIMITS})).text


def test_a_page_under_the_name_of_a_workbook_is_a_page(tmp_path: Path) -> None:
    page = "<html><body><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table></body></html>"

    assert written(tmp_path, "report.xls", page).text == "a | b\n1 | 2"


def test_an_archive_is_its_files_and_unreadable_ones_are_named(tmp_path: Path) -> None:
    archive = packed({"notes/a.md": "# Herons\n\nThey wade.", "logo.png": b"\x89PNG\r\n\x1a\n\0"})

    document = written(tmp_path, "a.zip", archive)

    assert titles(document) == [(1, "notes/a.md"), (2, "Herons")]
    assert document.report.left_out == ("attachment logo.png: is a binary file (PNG picture), not a document",)


def test_archives_within_archives_end(tmp_path: Path) -> None:
    inner = packed({"a.txt": "the deepest text"})
    for _ in range(5):
        inner = packed({"inner.zip": inner})

    with pytest.raises(CollectionError, match="is nested in too many other files"):
        written(tmp_path, "a.zip", inner)


def test_menus_and_banners_of_a_page_are_left_out_and_pictures_have_their_text(tmp_path: Path) -> None:
    links = "".join(f'<li><a href="/{name}">{name}</a></li>' for name in ("Home", "Shop", "News", "Help", "About"))
    page = f"""<html><head><title>Herons</title></head><body><nav><ul>{links}</ul></nav>
    <div id="cookie-banner">We use cookies.</div><div class="top"><ul>{links}</ul></div>
    <div><h2>Life</h2><p>They wade. <img src="h.png" alt="A heron at dawn"></p><p>You need:</p><ul><li>boots</li></ul>
    </div>
    <footer><ul>{links}</ul></footer></body></html>"""

    document = written(tmp_path, "a.html", page)

    assert document.text == "Herons\n\nLife\n\nThey wade. [Picture: A heron at dawn]\n\nYou need:\n\n- boots"
    assert document.report.left_out == ("menus and banners (4 times)",)
    assert (document.report.pictures, document.leads[0].text) == (1, "You need:")


LATEX = r"""\section{Moss} % ask Hanna
Growth rose by 5\% a year.
% a line of remarks
\begin{verbatim}
100 % of it
\end{verbatim}
Half \\% at the end
Done."""


def test_comments_of_latex_are_left_out_and_reported(tmp_path: Path) -> None:
    document = written(tmp_path, "a.tex", LATEX)

    kept = [r"\section{Moss} ", r"Growth rose by 5\% a year.", r"\begin{verbatim}", "100 % of it", r"\end{verbatim}"]
    assert document.text.split("\n") == [*kept, r"Half ", "Done."]
    assert titles(document) == [(2, "Moss")]
    assert document.report.left_out == ("comments (3 times)",)


def test_comments_of_markdown_are_left_out_and_reported(tmp_path: Path) -> None:
    source = "# Soup\n\n<!-- photo missing -->\nBoil <!-- how long? --> it.\n<!-- two\nlines -->\n"
    source += "```html\n<!-- kept -->\n```\n"

    document = written(tmp_path, "a.md", source)

    assert document.text == "# Soup\n\nBoil  it.\n```html\n<!-- kept -->\n```\n"
    assert document.report.left_out == ("comments (3 times)",)


def test_an_open_comment_mark_of_markdown_hides_nothing(tmp_path: Path) -> None:
    source = "Arrows such as <!-- are\n\nwritten like this.\n"

    assert written(tmp_path, "a.md", source).text == source


def test_lines_above_a_table_of_a_sheet_are_its_caption(tmp_path: Path) -> None:
    rows = [["Paint shops"], [], ["Litres sold in 2025"], [], *LIMITS, [], ["Provisional."]]

    document = written(tmp_path, "a.xlsx", xlsx({"Sheet1": rows}))

    assert document.text == f"Paint shops\n\nLitres sold in 2025\n{TABLE}\n\nProvisional."
    assert document.leads[0].text == "Litres sold in 2025\nCountry | Hotel limit | Approver"


@pytest.mark.parametrize(
    ("plain", "page", "text"),
    [
        ("See the HTML part.", "<p>Our offer for your roof: 5,320 euros for the insulation, until June.</p>", "5,320"),
        (
            "Our offer. Work Price Insulation 5,320 Tiles 8,940",
            "<p>Our offer.</p><table><tr><th>Work</th><th>Price</th></tr><tr><td>Insulation</td><td>5,320</td></tr>"
            "<tr><td>Tiles</td><td>8,940</td></tr></table>",
            "Work | Price\nInsulation | 5,320",
        ),
        ("The offer holds until June.", "<p>The offer holds until <b>June</b>.</p>", "The offer holds until June."),
    ],
)
def test_the_fuller_alternative_of_a_message_is_read(tmp_path: Path, plain: str, page: str, text: str) -> None:
    message = EmailMessage()
    message["Subject"] = "Offer"
    message.set_content(plain)
    message.add_alternative(page, "html")

    assert text in written(tmp_path, "offer.eml", message.as_bytes()).text
