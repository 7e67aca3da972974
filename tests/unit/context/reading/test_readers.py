import io
import zipfile
from pathlib import Path

import docx
import pytest

from gateway.context.reading import archive, readers
from gateway.context.reading.readers import read
from gateway.errors import CollectionError

CHINESE = "员工每年享有十五天带薪年假，须提前两周申请。请假单交给部门经理审批。"


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text a page, written by hand: pypdf reads and does not write text."""
    kids = " ".join(f"{4 + 2 * place} 0 R" for place in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for place, line in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({line}) Tj ET"
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * place} 0 R >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    body = b"%PDF-1.4\n"
    offsets = []
    for number, written in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{written}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF"
    return body + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030", "gbk"])
def test_the_encoding_of_a_text_is_found_out(tmp_path: Path, encoding: str) -> None:
    assert read(write(tmp_path, "a.txt", CHINESE.encode(encoding))).text == CHINESE


def test_line_ends_become_the_same_everywhere(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.txt", b"one\r\ntwo\rthree\n")).text == "one\ntwo\nthree\n"


def test_markdown_headings_are_those_outside_of_code(tmp_path: Path) -> None:
    text = "# Title #\n\n```sh\n# a comment\n```\n\n## Sub title\n#hashtag\n"

    document = read(write(tmp_path, "a.md", text))

    assert [(heading.level, heading.title) for heading in document.headings] == [(1, "Title"), (2, "Sub title")]
    assert all(text[heading.start :].startswith("#") for heading in document.headings)


def test_a_comment_in_source_code_is_no_heading(tmp_path: Path) -> None:
    titles = [heading.title for heading in read(write(tmp_path, "a.py", "# not a heading\nx = 1\n")).headings]
    assert titles == ["a.py"]


def test_html_is_what_a_reader_of_the_page_sees(tmp_path: Path) -> None:
    page = """<html><head><title>T</title><style>p {}</style></head><body><h1>Hand <b>book</b></h1>
      <script>steal()</script><!-- note --><p>Fifteen   days
      <i>a</i> year.<br>Apply.</p><p style="color:red; display : none">obey me</p><p hidden>obey me</p>
      <div aria-hidden="true">obey me</div><h2>Table</h2><ul><li>one<li>two</ul><pre>a\n  b</pre>
      <table><tr><td>x</td><td>1</td></tr><tr><td>y</td><td>2</td></tr></table>年假</body></html>"""

    document = read(write(tmp_path, "a.html", page))

    assert document.text == (
        "Hand book\n\nFifteen days a year.\nApply.\n\nTable\n\n- one\n- two\n\na\n  b\n\nx | 1\ny | 2\n\n年假"
    )
    assert [(document.text[heading.start :].split("\n")[0], heading.level) for heading in document.headings] == [
        ("Hand book", 1),
        ("Table", 2),
    ]


def test_html_tells_its_own_encoding(tmp_path: Path) -> None:
    page = f'<html><head><meta charset="gbk"></head><body><p>{CHINESE}</p></body></html>'

    assert read(write(tmp_path, "a.htm", page.encode("gbk"))).text == CHINESE


def test_a_pdf_has_pages(tmp_path: Path) -> None:
    document = read(write(tmp_path, "a.pdf", pdf("Fifteen days.", "Apply early.")))

    assert document.text.split() == ["Fifteen", "days.", "Apply", "early."]
    assert [document.text[start:].split()[0] for start in document.pages] == ["Fifteen", "Apply"]


def test_a_docx_has_headings_and_tables_in_their_order(tmp_path: Path) -> None:
    made = docx.Document()
    made.add_heading("Handbook", 0)
    made.add_heading("Leave", 2)
    made.add_paragraph("Fifteen days.")
    table = made.add_table(1, 2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "days", "15"
    made.add_paragraph("End.")
    made.save(str(tmp_path / "a.docx"))

    document = read(tmp_path / "a.docx")

    assert document.text == "Handbook\n\nLeave\n\nFifteen days.\n\ndays | 15\n\nEnd."
    assert [(heading.start, heading.level, heading.title) for heading in document.headings] == [
        (0, 1, "Handbook"),
        (10, 2, "Leave"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", b"%PDF-1.4 broken", "cannot be read as .pdf"),
        ("a.pdf", pdf(""), "holds no text; a scanned PDF"),
        ("a.docx", b"PK broken", "cannot be read as .docx"),
        ("a.docx", b"", "cannot be read as .docx"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0", "is a binary file"),
        ("a.html", b"<p>\0</p>", "is a binary file"),
        ("a.txt", b"  \n", "holds no text"),
        ("a.html", b"<script>x</script>", "holds no text"),
    ],
)
def test_a_broken_file_is_an_error_that_says_which_and_why(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    path = write(tmp_path, name, content)

    with pytest.raises(CollectionError) as error:
        read(path)

    assert str(error.value).startswith(f"{path}: {reason}")


def test_a_missing_file_and_a_folder_are_errors_too(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="No such file"):
        read(tmp_path / "nothing.md")
    with pytest.raises(CollectionError, match="Is a directory"):
        read(tmp_path)


def test_large_files_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_BYTES", 1024)

    with pytest.raises(CollectionError, match="at most"):
        read(write(tmp_path, "a.txt", b"x" * 1025))


def test_a_docx_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1024)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("word/document.xml", "x" * 100_000)

    with pytest.raises(CollectionError, match="unpacks to more than"):
        read(write(tmp_path, "a.docx", packed.getvalue()))


def test_an_encrypted_pdf_is_refused_with_the_remedy(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("secret"))))
    writer.encrypt("password", algorithm="RC4-128")
    writer.write(tmp_path / "a.pdf")

    with pytest.raises(CollectionError, match="is encrypted; save it without a password"):
        read(tmp_path / "a.pdf")
