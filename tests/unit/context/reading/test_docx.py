"""DOCX files hold text in many places; each is read, once, in its order."""

import io
import zipfile
from pathlib import Path

from gateway.context.reading.document import Document
from gateway.context.reading.readers import read

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"
NAMES = f'xmlns:w="{W}" xmlns:mc="{MC}" xmlns:wp="urn:wp" xmlns:wps="urn:wps"'


def paragraph(*texts: str) -> str:
    return f"<w:p>{''.join(run(text) for text in texts)}</w:p>"


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def cell(content: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>"


def table(*rows: str) -> str:
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def docx(folder: Path, body: str, **parts: str) -> Document:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("word/document.xml", f"<w:document {NAMES}><w:body>{body}</w:body></w:document>")
        for name, content in parts.items():
            archive.writestr(f"word/{name}.xml", f"<w:part {NAMES}>{content}</w:part>")
    path = folder / "a.docx"
    path.write_bytes(packed.getvalue())
    return read(path)


def test_content_controls_around_paragraphs_and_words_are_read(tmp_path: Path) -> None:
    held = f"<w:sdt><w:sdtPr/><w:sdtContent>{paragraph('The hotel limit is 140 euros.')}</w:sdtContent></w:sdt>"
    name = f"<w:sdt><w:sdtContent>{run('Marta Quell')}</w:sdtContent></w:sdt>"
    line = f"<w:p>{run('The project lead is ')}{name}{run(' since May.')}</w:p>"

    document = docx(tmp_path, held + line)

    assert document.text == "The hotel limit is 140 euros.\n\nThe project lead is Marta Quell since May."


def test_tracked_insertions_are_read_and_deletions_are_not(tmp_path: Path) -> None:
    gone = "<w:del><w:r><w:delText>four weeks</w:delText></w:r></w:del>"
    moved = f"<w:moveFrom>{run('old place')}</w:moveFrom><w:moveTo>{run(', new place')}</w:moveTo>"

    document = docx(
        tmp_path, f"<w:p>{run('The notice is ')}{gone}<w:ins>{run('three months')}</w:ins>{moved}{run('.')}</w:p>"
    )

    assert document.text == "The notice is three months, new place."


def test_merged_cells_are_read_once_and_nested_tables_are_read(tmp_path: Path) -> None:
    title = cell(paragraph("Figures of the north"), '<w:gridSpan w:val="3"/>')
    quarters = "".join(cell(paragraph(name)) for name in ("Q1", "Q2", "Q3"))
    nested = table(cell(paragraph("inner Zebra")) + cell(paragraph("inner Lion")))

    document = docx(tmp_path, table(title, quarters) + table(cell(paragraph("outer") + nested)))

    assert document.text == "Figures of the north\nQ1 | Q2 | Q3\n\nouter\n\ninner Zebra | inner Lion"
    assert document.report.tables == 2


def test_rows_under_a_cell_that_spans_them_are_not_cut_apart(tmp_path: Path) -> None:
    above = cell(paragraph("Japan"), '<w:vMerge w:val="restart"/>') + cell(paragraph("Tokyo")) + cell(paragraph("140"))
    below = cell("<w:p/>", "<w:vMerge/>") + cell(paragraph("Osaka")) + cell(paragraph("120"))

    document = docx(tmp_path, table(above, below))

    assert [document.text[start:end] for start, end in document.records] == ["Japan | Tokyo | 140\n | Osaka | 120"]


def test_headers_text_boxes_and_footnotes_are_read(tmp_path: Path) -> None:
    box = f"<wps:txbxContent>{paragraph('The vault code is Heron.')}</wps:txbxContent>"
    both = f"<mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    noted = f'<w:p>{run("See the note.")}<w:r><w:footnoteReference w:id="2"/></w:r></w:p>'

    document = docx(
        tmp_path,
        f"<w:p><w:r>{both}</w:r></w:p>{noted}",
        header1=paragraph("Document number XJ-4471"),
        header2=paragraph("Document number XJ-4471"),
        footer1=paragraph("Page footer"),
        footnotes=f'<w:footnote w:id="2">{paragraph("As of May.")}</w:footnote>',
        comments=f"<w:comment>{paragraph('why?')}</w:comment>",
    )

    assert document.text == (
        "Document number XJ-4471\n\nThe vault code is Heron.\n\nSee the note. [As of May.]\n\nPage footer"
    )
    assert document.report.left_out == ("comments",)


def test_headings_are_known_by_their_style_in_any_language(tmp_path: Path) -> None:
    style = '<w:style w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>'
    heading = f'<w:p><w:pPr><w:pStyle w:val="berschrift2"/></w:pPr>{run("Reisen")}</w:p>'

    document = docx(tmp_path, heading + paragraph("Text."), styles=style)

    assert [(heading.level, heading.title) for heading in document.headings] == [(2, "Reisen")]


def test_hidden_text_is_left_out_and_reported(tmp_path: Path) -> None:
    hidden = "<w:r><w:rPr><w:vanish/></w:rPr><w:t>obey me</w:t></w:r>"

    document = docx(tmp_path, f"<w:p>{run('Seen.')}{hidden}</w:p>")

    assert (document.text, document.report.left_out) == ("Seen.", ("hidden text",))
