"""Small files of many kinds, made here so that no test needs an office program."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

Rows = Sequence[Sequence[str | int | float]]
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
OASIS = "urn:oasis:names:tc:opendocument:xmlns:"


def packed(members: Mapping[str, str | bytes]) -> bytes:
    """Return a zip file."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else None)
    return target.getvalue()


def xlsx(sheets: Mapping[str, Rows], hidden: Sequence[str] = ()) -> bytes:
    """Return a workbook with texts and numbers."""
    listed, relations, parts = "", "", {}
    for number, (name, rows) in enumerate(sheets.items(), 1):
        state = ' state="hidden"' if name in hidden else ""
        listed += f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"{state}/>'
        relations += (
            f'<Relationship Id="rId{number}" Type="{RELATIONS}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        )
        data = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{MAIN}"><sheetData>{data}</sheetData></worksheet>'
        )
    book = f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>{listed}</sheets></workbook>'
    return packed(
        {
            "[Content_Types].xml": _sheet_types(len(sheets)),
            "_rels/.rels": f'<Relationships xmlns="{PACKAGE}"><Relationship Id="rId1" '
            f'Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": book,
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}">{relations}</Relationships>',
            **parts,
        }
    )


def _sheet_types(count: int) -> str:
    spreadsheet = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {"/xl/workbook.xml": "sheet.main+xml"}
    parts |= {f"/xl/worksheets/sheet{number}.xml": "worksheet+xml" for number in range(1, count + 1)}
    types = "".join(f'<Override PartName="{name}" ContentType="{spreadsheet}.{kind}"/>' for name, kind in parts.items())
    rels = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    return f'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">{rels}{types}</Types>'


def _cell(value: str | int | float) -> str:
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>' if value else "<c/>"
    return f"<c><v>{value}</v></c>"


def pptx(slides: Sequence[tuple[str, str, str]], table: Rows = ()) -> bytes:
    """Return slides with a title, body lines and notes. The last slide has the table."""
    parts: dict[str, str | bytes] = {}
    listed, relations = "", ""
    names = f'xmlns:a="{A}" xmlns:p="{P}" xmlns:r="{RELATIONS}"'
    for number, (title, body, notes) in enumerate(slides, 1):
        listed += f'<p:sldId r:id="rId{number}"/>'
        relations += f'<Relationship Id="rId{number}" Type="{RELATIONS}/slide" Target="slides/slide{number}.xml"/>'
        frame = _slide_table(table) if table and number == len(slides) else ""
        shapes = _shape("title", title) + _shape("body", body) + frame
        parts[f"ppt/slides/slide{number}.xml"] = (
            f"<p:sld {names}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
        )
        parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = (
            f'<Relationships xmlns="{PACKAGE}"><Relationship Id="rId1" Type="{RELATIONS}/notesSlide" '
            f'Target="../notesSlides/notesSlide{number}.xml"/></Relationships>'
        )
        parts[f"ppt/notesSlides/notesSlide{number}.xml"] = (
            f"<p:notes {names}><p:cSld><p:spTree>{_shape('body', notes)}</p:spTree></p:cSld></p:notes>"
        )
    parts["ppt/presentation.xml"] = f"<p:presentation {names}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>"
    parts["ppt/_rels/presentation.xml.rels"] = f'<Relationships xmlns="{PACKAGE}">{relations}</Relationships>'
    return packed(parts)


def _shape(kind: str, text: str) -> str:
    lines = "".join(f"<a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p>" for line in text.split("\n"))
    return f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:txBody>{lines}</p:txBody></p:sp>'


def _slide_table(rows: Rows) -> str:
    cells = [
        "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{cell}</a:t></a:r></a:p></a:txBody></a:tc>" for cell in row)
        for row in rows
    ]
    table = "".join(f"<a:tr>{row}</a:tr>" for row in cells)
    return (
        "<p:graphicFrame><a:graphic><a:graphicData>"
        f'<a:tbl><a:tblPr firstRow="1"/>{table}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>'
    )


def odt(body: str, kind: str = "text") -> bytes:
    """Return an OpenDocument file. `body` may use the prefixes text, table, draw and office."""
    names = " ".join(
        f'xmlns:{prefix}="{OASIS}{name}:1.0"'
        for prefix, name in (
            ("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"), ("svg", "svg-compatible"),
            ("presentation", "presentation"),
        )
    )  # fmt: skip
    content = f"<office:document-content {names}><office:body><office:{kind}>{body}</office:{kind}></office:body>"
    names = f'xmlns:manifest="{OASIS}manifest:1.0"'
    media = f"application/vnd.oasis.opendocument.{kind}"
    entry = f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{media}"/>'
    return packed(
        {
            "mimetype": media,
            "META-INF/manifest.xml": f"<manifest:manifest {names}>{entry}</manifest:manifest>",
            "content.xml": content + "</office:document-content>",
        }
    )


def ods(rows: Rows) -> bytes:
    cells = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{escape(str(cell))}</text:p></table:table-cell>'
            for cell in row
        )
        + "</table:table-row>"
        for row in rows
    )
    return odt(f'<table:table table:name="Rates">{cells}</table:table>', "spreadsheet")


def epub(title: str, chapters: Mapping[str, str]) -> bytes:
    """Return a book. Chapters are HTML by file name."""
    items = "".join(f'<item id="{name}" href="{name}"/>' for name in chapters)
    spine = "".join(f'<itemref idref="{name}"/>' for name in chapters)
    return packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": f'<container xmlns="{OASIS}container"><rootfiles>'
            '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
            "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf" '
            f'xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>{title}</dc:title></metadata>'
            f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
            **{f"OEBPS/{name}": f"<html><body>{content}</body></html>" for name, content in chapters.items()},
        }
    )


Placed = tuple[str, float, float, float]
"""A text, its left edge, its baseline from the lower edge of the page, and its font size."""


def pdf(
    *pages: Sequence[Placed], lines: Sequence[tuple[float, float, float, float]] = (), picture_on: int = -1
) -> bytes:
    """Return pages with placed texts.

    `lines` are drawn on each page. Page `picture_on`, counted from 0, also has a picture.
    """
    kids = " ".join(f"{4 + 2 * place} 0 R" for place in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    drawn = "".join(f"{left} {low} m {right} {high} l S\n" for left, low, right, high in lines)
    for place, texts in enumerate(pages):
        stream = drawn + "".join(
            f"BT /F1 {size} Tf {left} {base} Td ({_pdf_text(text)}) Tj ET\n" for text, left, base, size in texts
        )
        if place == picture_on:
            stream += PICTURE
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * place} 0 R >>",
            f"<< /Length {len(stream.encode('cp1252'))} >>\nstream\n{stream}\nendstream",
        ]
    body = b"%PDF-1.4\n"
    offsets = []
    for number, written in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{written}\nendobj\n".encode("cp1252")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF"
    return body + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode()


PICTURE = "q 100 0 0 100 72 500 cm BI /W 2 /H 2 /CS /G /BPC 8 /F /AHx ID 00ff00ff> EI Q\n"


def _pdf_text(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
