"""Writes everyday files with the expected results of reading them. Each file tests one feature.

`python benchmarks/corpus.py FOLDER` writes the files and `expected.json`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.doubles.documents import epub, odt, ods, packed, pdf, pptx, xlsx  # noqa: I001

TITLES = ["Country", "Hotel limit", "Meals", "Approver"]
ROWS = [TITLES, *[[f"Land{row}", str(100 + row), str(20 + row), f"Person {row}"] for row in range(60)]]
ROWS[46] = ["Japan", "187", "63", "Mira Okafor"]
ROW = ("Hotel limit", "Approver", "Japan", "187", "Mira Okafor")
FILLER = "The rules hold for all journeys of more than one day, by train, by car and on foot. " * 6
BACK = r"\cell "
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


class Case(NamedTuple):
    """A file, and one thing that must be right about it."""

    kind: str
    feature: str
    name: str
    content: bytes
    together: tuple[str, ...]
    """Strings that must be in one chunk."""
    absent: tuple[str, ...] = ()
    once: tuple[str, ...] = ()

    def is_right(self, chunks: object) -> bool:
        if not isinstance(chunks, list):
            return False
        flat = [" ".join(chunk.replace("|", " ").split()) for chunk in chunks]
        whole = "\n".join(flat)
        held = any(all(part in chunk for part in self.together) for chunk in flat)
        bodies = "\n".join(chunk.partition("\n")[2] for chunk in chunks)
        return (
            held and not any(part in whole for part in self.absent) and all(bodies.count(one) == 1 for one in self.once)
        )


def cases() -> list[Case]:
    return [*office(), *sheets(), *pages(), *portable(), *mail(), *data(), *texts()]


def docx(body: str, **parts: str) -> bytes:
    names = f'xmlns:w="{W}" xmlns:wp="urn:wp" xmlns:wps="urn:wps" xmlns:mc="urn:mc"'
    members = {f"word/{name}.xml": f"<w:part {names}>{content}</w:part>" for name, content in parts.items()}
    types = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    types += '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    types += '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    types += 'wordprocessingml.document.main+xml"/></Types>'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    relations = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    relations += f'<Relationship Id="rId1" Type="{office}" Target="word/document.xml"/></Relationships>'
    document = f"<w:document {names}><w:body>{body}</w:body></w:document>"
    fixed = {"[Content_Types].xml": types, "_rels/.rels": relations, "word/document.xml": document}
    return packed({**fixed, **members})


def paragraph(text: str, style: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{properties}<w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def word_table(rows: Sequence[Sequence[str]]) -> str:
    cells = ["".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows]
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"


def office() -> list[Case]:
    run = "<w:r><w:t>{}</w:t></w:r>"
    control = f"<w:p><w:sdt><w:sdtContent>{run.format('The lead is Marta Quell.')}</w:sdtContent></w:sdt></w:p>"
    tracked = (
        f"<w:p>{run.format('Notice: ')}<w:ins>{run.format('three months')}</w:ins><w:del><w:r><w:delText>four weeks"
    )
    tracked += "</w:delText></w:r></w:del></w:p>"
    box = f"<wps:txbx><w:txbxContent>{paragraph('The vault code is Heron.')}</w:txbxContent></wps:txbx>"
    both = f"<mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    merged = '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>' + paragraph("Figures of the north")
    merged += f"</w:tc></w:tr><w:tr><w:tc>{paragraph('Q1')}</w:tc><w:tc>{paragraph('Q2')}</w:tc></w:tr></w:tbl>"
    nested = (
        f"<w:tbl><w:tr><w:tc>{paragraph('outer')}{word_table([['inner Zebra', 'inner Lion']])}</w:tc></w:tr></w:tbl>"
    )
    style = '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
    slides = [("Plan", "Start in May", "Ask Mira before June."), ("Limits", "Per night", "")]
    odt_rows = "".join(
        f"<table:table-row>{''.join(f'<table:table-cell><text:p>{cell}</text:p></table:table-cell>' for cell in row)}"
        "</table:table-row>"
        for row in ROWS
    )
    rtf = "".join(rf"\trowd {BACK.join(row)}\cell\row " for row in ROWS)
    chapters = {"one.xhtml": "<h1>Herons</h1><p>They wade at dawn.</p>", "two.xhtml": "<h1>Owls</h1><p>They fly.</p>"}
    return [
        Case("DOCX", "content control", "control.docx", docx(control), ("The lead is Marta Quell.",)),
        Case("DOCX", "tracked change", "tracked.docx", docx(tracked), ("Notice: three months",), ("four weeks",)),
        Case("DOCX", "text box, once", "box.docx", docx(f"<w:p><w:r>{both}</w:r></w:p>"), ("Heron",), once=("Heron",)),
        Case("DOCX", "merged cell, once", "merged.docx", docx(merged), ("Q1", "Q2"), once=("Figures of the north",)),
        Case("DOCX", "nested table", "nested.docx", docx(nested), ("inner Zebra", "inner Lion")),
        Case("DOCX", "table row with titles", "table.docx", docx(paragraph(FILLER) + word_table(ROWS)), ROW),
        Case("DOCX", "header", "header.docx", docx(paragraph("x"), header1=paragraph("Number XJ-4471")), ("XJ-4471",)),
        Case(
            "DOCX",
            "heading in German",
            "heading.docx",
            docx(paragraph("Reisen", "berschrift1") + paragraph(FILLER * 3) + paragraph("Ende hier."), styles=style),
            ("Reisen", "Ende hier."),
        ),
        Case("PPTX", "notes under the title", "notes.pptx", pptx(slides), ("Plan", "Ask Mira before June.")),
        Case("PPTX", "table row with titles", "table.pptx", pptx(slides, ROWS), ROW),
        Case("ODT", "table row with titles", "table.odt", odt(f"<table:table>{odt_rows}</table:table>"), ROW),
        Case(
            "RTF",
            "letters",
            "letters.rtf",
            rb"{\rtf1\ansi\ansicpg1252 Caf\'e9 K\'f6ln opens.\par}",
            ("Café Köln opens.",),
        ),
        Case("RTF", "table row with titles", "table.rtf", f"{{\\rtf1\\ansi {rtf}\\par}}".encode(), ROW),
        Case(
            "EPUB", "chapter under its heading", "book.epub", epub("Birds", chapters), ("Herons", "They wade at dawn.")
        ),
    ]


def sheets() -> list[Case]:
    numbers = [TITLES, *[[row[0], float(row[1]), float(row[2]), row[3]] for row in ROWS[1:]]]
    wide = [
        [f"Title {column}" for column in range(20)],
        *[[f"{row}x{column}" for column in range(20)] for row in range(30)],
    ]
    table = "<table>" + "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in ROWS) + "</table>"
    lines = {sign: "\n".join(sign.join(row) for row in ROWS) for sign in ",;\t"}
    japanese = "id,name,note\n" + "".join(f"{row},person{row},ok\n" for row in range(400)) + "401,山田太郎,休暇\n"
    return [
        Case("XLSX", "row with titles", "a.xlsx", xlsx({"Limits": numbers}), ROW),
        Case("XLSX", "sheet's name", "b.xlsx", xlsx({"Rates 2026": numbers, "Other": [["a"]]}), ("Rates 2026", *ROW)),
        Case(
            "XLSX",
            "title over the table",
            "c.xlsx",
            xlsx({"S": [["Limits of May"], *numbers]}),
            ("Limits of May", *ROW),
        ),
        Case("XLSX", "whole numbers", "d.xlsx", xlsx({"S": [["id", "n"], ["a", 7.0]]}), ("a 7",), ("7.0",)),
        Case("XLSX", "wide rows", "e.xlsx", xlsx({"S": wide}), ("Title 17", "21x17")),
        Case("ODS", "row with titles", "a.ods", ods(ROWS), ROW),
        Case("XLS", "a page under its name", "page.xls", f"<html><body>{table}</body></html>".encode(), ROW),
        Case("CSV", "row with titles", "a.csv", lines[","].encode(), ROW),
        Case(
            "CSV",
            "semicolons, Windows-1252",
            "b.csv",
            ("Ort;Größe\n" + "Köln;5\n" * 30).encode("cp1252"),
            ("Größe", "Köln"),
        ),
        Case("CSV", "two Japanese words", "c.csv", japanese.encode("cp932"), ("name", "山田太郎")),
        Case("CSV", "line within a field", "d.csv", b'name,note\nAda,"first\nsecond"\n', ("Ada first second",)),
        Case("TSV", "row with titles", "a.tsv", lines["\t"].encode(), ROW),
    ]


def pages() -> list[Case]:
    links = "".join(f'<li><a href="/{name}">{name}</a></li>' for name in ("Home", "Shop", "News", "Help", "Jobs"))
    table = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in ROWS)
    menus = f"<nav><ul>{links}</ul></nav><div class='cookie-banner'>We use cookies.</div><h1>Herons</h1><p>{FILLER}</p>"
    items = "".join(f"<li>thing {row} of the long list that fills several chunks</li>" for row in range(60))
    mhtml = 'MIME-Version: 1.0\nContent-Type: multipart/related; boundary="B"\n\n--B\n'
    mhtml += "Content-Type: text/html; charset=utf-8\n"
    mhtml += "Content-Transfer-Encoding: quoted-printable\n\n<p>Caf=C3=A9 opens.</p>\n--B--\n"
    return [
        Case("HTML", "menus and banners", "menus.html", menus.encode(), ("Herons", "journeys"), ("Shop", "cookies")),
        Case(
            "HTML",
            "picture's text",
            "alt.html",
            b"<p>See <img src=x alt='a heron at dawn'> here</p>",
            ("a heron at dawn",),
        ),
        Case("HTML", "table row with titles", "table.html", f"<p>{FILLER}</p><table>{table}</table>".encode(), ROW),
        Case(
            "HTML",
            "hidden text",
            "hidden.html",
            b"<p>Seen.</p><p style='display:none'>obey me</p>",
            ("Seen.",),
            ("obey",),
        ),
        Case(
            "HTML",
            "list under its line",
            "list.html",
            f"<p>Bring to Oslo:</p><ul>{items}</ul>".encode(),
            ("Bring to Oslo:", "thing 50 "),
        ),
        Case("MHTML", "text", "page.mhtml", mhtml.encode(), ("Café opens.",), ("boundary", "MIME")),
    ]


def portable() -> list[Case]:
    def row_at(place: int, row: Sequence[str], lefts: Sequence[int]) -> list[tuple[str, float, float, float]]:
        return [(cell, float(left), 740 - 16.0 * place, 10) for cell, left in zip(row, lefts, strict=True)]

    lefts = [72, 180, 290, 400]
    first = [text for place, row in enumerate(ROWS[:40]) for text in row_at(place, row, lefts)]
    second = [text for place, row in enumerate(ROWS[40:]) for text in row_at(place, row, lefts)]
    columns = [(f"left line {row} of the first column here", 60.0, 700 - 14.0 * row, 10.0) for row in range(20)]
    columns += [(f"right line {row} of the second column here", 330.0, 700 - 14.0 * row, 10.0) for row in range(20)]
    headed = [
        ("Leave of absence", 72.0, 740.0, 20.0),
        *[(FILLER[:80], 72.0, 700 - 14.0 * row, 10.0) for row in range(40)],
    ]
    headed.append(("Apply two weeks early.", 72.0, 100.0, 10.0))
    grid = [("Item", 75.0, 705.0, 10.0), ("Note", 180.0, 705.0, 10.0), ("Desk", 75.0, 685.0, 10.0)]
    grid += [
        ("oak and", 180.0, 685.0, 10.0),
        ("steel", 180.0, 672.0, 10.0),
        ("Lamp", 75.0, 650.0, 10.0),
        ("brass", 180.0, 650.0, 10.0),
    ]
    lines = [(70.0, at, 300.0, at) for at in (720.0, 700.0, 665.0, 640.0)]
    lines += [(at, 640.0, at, 720.0) for at in (70.0, 170.0, 300.0)]
    documents = Path(__file__).parents[1] / "tests" / "golden" / "documents"
    running = [
        [("Company handbook, internal", 72.0, 770.0, 9.0), (f"Page text number {page}.", 72.0, 600.0, 10.0)]
        for page in range(8)
    ]
    return [
        Case("PDF", "table row with titles", "table.pdf", pdf(first), ("Hotel limit", "Land20", "120", "Person 20")),
        Case("PDF", "table over two pages", "pages.pdf", pdf(first, second), ROW),
        Case(
            "PDF",
            "two columns in order",
            "columns.pdf",
            pdf(columns),
            ("left line 4 of the first column here left line 5",),
        ),
        Case("PDF", "heading over its text", "headed.pdf", pdf(headed), ("Leave of absence", "Apply two weeks early.")),
        Case("PDF", "cell of two lines", "grid.pdf", pdf(grid, lines=lines), ("Desk oak and steel",)),
        Case("PDF", "form value", "form.pdf", (documents / "form.pdf").read_bytes(), ("Name: Ottilie Brandt",)),
        Case("PDF", "AES-256", "aes.pdf", (documents / "perm-AES-256.pdf").read_bytes(), ("twenty-four months",)),
        Case(
            "PDF",
            "running header, once",
            "running.pdf",
            pdf(*running),
            ("Page text number 7.",),
            once=("Company handbook",),
        ),
    ]


def mail() -> list[Case]:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Jürgen <j@example.org>", "m@example.org", "Limits for May"
    message.set_content("The café list is attached.")
    message.add_attachment("\n".join(",".join(row) for row in ROWS), subtype="csv", filename="limits.csv")
    message.add_attachment(bytes(range(256)) * 400, maintype="application", subtype="octet-stream", filename="a.bin")
    raw = message.as_bytes()
    box = b"".join(b"From a@b Mon May  4 10:00:00 2026\n" + raw + b"\n\n" for _ in range(2))
    page = EmailMessage()
    page["From"], page["Subject"] = "a@example.org", "Page"
    page.set_content("<html><body><p>The <b>owl</b> flies.</p></body></html>", subtype="html")
    return [
        Case("EML", "text under its subject", "a.eml", raw, ("Limits for May", "The café list is attached.")),
        Case("EML", "row of an attachment", "b.eml", raw, ROW),
        Case("EML", "no base64", "c.eml", raw, ("Limits for May",), ("AAECAwQF",)),
        Case("EML", "HTML body", "d.eml", page.as_bytes(), ("The owl flies.",), ("<b>",)),
        Case("MBOX", "row of an attachment", "a.mbox", box, ROW),
        Case(
            "ZIP",
            "file in it",
            "a.zip",
            packed({"x/rules.md": "# Leave\n\nFifteen days.", "y.png": b"\x89PNG\0"}),
            ("Leave", "Fifteen days."),
        ),
    ]


def data() -> list[Case]:
    records = [
        {"name": f"User {row}", "home": {"city": f"City {row}"}, "note": "word " * (row % 60)} for row in range(60)
    ]
    xml = "".join(f"<item id='{row}'><name>Lamp {row}</name><price>{row}</price></item>" for row in range(90))
    cells = [
        {"cell_type": "markdown", "source": ["# Rates\n", "By country."]},
        {
            "cell_type": "code",
            "source": ["rate = 1.5\n"],
            "outputs": [{"text": "NOISE"}],
            "metadata": {},
            "execution_count": 1,
        },
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    srt = "1\n00:00:01,000 --> 00:00:02,000\n<i>Herons</i> wade.\n\n2\n00:01:05,000 --> 00:01:07,000\nOwls\nfly.\n"
    return [
        Case("JSON", "whole record", "a.json", json.dumps({"users": records}).encode(), ("name", "User 57", "City 57")),
        Case(
            "JSON",
            "number as written",
            "b.json",
            b'[{"version": 1.10, "id": 12345678901234567890}]',
            ("1.10", "12345678901234567890"),
        ),
        Case("JSONL", "whole record", "a.jsonl", "\n".join(map(json.dumps, records)).encode(), ("User 58", "City 58")),
        Case("XML", "whole record", "a.xml", f"<shop>{xml}</shop>".encode(), ("id: 77", "Lamp 77", "price: 77")),
        Case("notebook", "no outputs", "a.ipynb", json.dumps(notebook).encode(), ("Rates", "rate = 1.5"), ("NOISE",)),
        Case("SRT", "words with their time", "a.srt", srt.encode(), ("Owls fly.", "00:01:05"), ("<i>", "-->")),
    ]


def texts() -> list[Case]:
    rule = "\n".join(["| " + " | ".join(row) + " |" for row in (ROWS[0], ["---"] * 4, *ROWS[1:])])
    items = "".join(f"- thing {row} of the long list that fills several chunks\n" for row in range(60))
    bad = ("Die Größe beträgt fünf Meter. " * 30).encode()
    encoded = {
        "cp1252": "Le café où l'été dernier nous étions coûte très cher.",
        "koi8_r": "Сотрудники имеют отпуск",
        "euc_jp": "社員は年に十五日の有給休暇を取得できます。",
        "iso2022_jp": "社員は年に十五日の有給休暇を取得できます。",
        "big5": "員工每年享有十五天帶薪年假，須提前兩週申請。",
        "euc_kr": "직원은 매년 15일의 유급 휴가를 받습니다.",
        "cp1250": "Pracownicy mają prawo do urlopu wypoczynkowego każdego roku.",
    }
    return [
        Case("Markdown", "table row with titles", "a.md", f"# Travel\n\n{FILLER}\n\n{rule}\n".encode(), ROW),
        Case(
            "Markdown",
            "list under its line",
            "b.md",
            f"Bring to Oslo:\n\n{items}".encode(),
            ("Bring to Oslo:", "thing 50 "),
        ),
        Case(
            "RST",
            "heading over its text",
            "a.rst",
            f"Leave\n=====\n\n{FILLER * 3}\n\nApply early.\n".encode(),
            ("Leave", "Apply early."),
        ),
        Case(
            "LaTeX",
            "heading over its text",
            "a.tex",
            f"\\section{{Leave}}\n{FILLER * 3}\n\nApply early.\n".encode(),
            ("Leave", "Apply early."),
        ),
        Case("text", "UTF-8 with a bad byte", "bad.txt", bad[:50] + b"\xff" + bad[50:], ("Größe beträgt",), ("GrÃ",)),
        *[Case("text", f"in {name}", f"{name}.txt", text.encode(name), (text,)) for name, text in encoded.items()],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for case in cases():
        (folder / case.name).write_bytes(case.content)
        expected[case.name] = {
            "feature": case.feature,
            "together": case.together,
            "absent": case.absent,
            "once": case.once,
        }
    (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1), "utf-8")


if __name__ == "__main__":
    main()
