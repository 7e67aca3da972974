"""Reads files that are made to exhaust a reader, one of each kind, in the bounded parse process.

    .venv/bin/python benchmarks/bombs.py

Each is read or refused within the limits that ship: 1 GB, and 30 to 120 seconds by size. The table says what happened,
the seconds by the clock, and the largest memory of the parse process so far (`-` where it was ended). A process that
the limit of memory ends is no fault of the gateway's, but a refusal with a better reason would be.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.corpus import docx
from gateway.context.reading.parse_process import ParseProcess, time_for
from gateway.errors import CollectionError
from tests.doubles.documents import epub, ods, odt, packed, pdf, pptx, xlsx

MANY = 1_000_000
LAUGHS = (
    "<!DOCTYPE x [<!ENTITY a0 'lol'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10)) + "]>"
)
OUTSIDE = "<!DOCTYPE x [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>"


def with_member(archive: bytes, member: str, content: bytes) -> bytes:
    """Replace a member of a zip file."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        members: dict[str, str | bytes] = {name: opened.read(name) for name in opened.namelist()}
    return packed(members | {member: content})


def zipped(members: dict[str, bytes], level: int = 9) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def nested(depth: int) -> bytes:
    """Ten archives in each archive."""
    content = zipped({"a.txt": b"0" * 10 * 2**20})
    for _ in range(depth):
        content = zipped({f"{number}.zip": content for number in range(10)})
    return content


def pdf_stream(filled: bytes, extra: bytes = b"") -> bytes:
    """A PDF of one page whose content is this compressed stream."""
    packed_stream = zlib.compress(filled, 9)
    head = b"%%PDF-1.5\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    page = b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R" + extra + b">>endobj\n"
    stream = b"4 0 obj<</Length %d/Filter/FlateDecode>>stream\n" % len(packed_stream) + packed_stream
    return head.replace(b"%%", b"%") + page + stream + b"\nendstream endobj\ntrailer<</Root 1 0 R/Size 5>>\n%%EOF"


def object_stream(size: int) -> bytes:
    """A PDF whose catalog stands in a compressed object stream of this size."""
    packed_stream = zlib.compress(b"1 0 <</Type/Catalog/Pages 2 0 R>>" + b" " * size, 9)
    stream = b"5 0 obj<</Type/ObjStm/N 1/First 4/Length %d/Filter/FlateDecode>>stream\n" % len(packed_stream)
    return b"%PDF-1.5\n" + stream + packed_stream + b"\nendstream endobj\ntrailer<</Root 1 0 R/Size 6>>\n%%EOF"


def page_tree_cycle() -> bytes:
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[2 0 R 2 0 R]/Count 1000000>>endobj\ntrailer<</Root 1 0 R/Size 3>>\n%%EOF"
    )


def nested_mail(depth: int) -> bytes:
    parts = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(depth))
    return ("From: a@b\nTo: c@d\nDate: Mon, 1 Jan 2025 00:00:00 +0000\nSubject: x\n" + parts + "\nText").encode()


def tar_of(count: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for number in range(count):
            archive.addfile(tarfile.TarInfo(f"{number}.txt"), io.BytesIO(b""))
    return content.getvalue()


def png(width: int, height: int) -> bytes:
    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(bytes(10**7))) + part(b"IEND", b"")


def repeated_ods() -> bytes:
    cell = '<table:table-cell office:value-type="string" table:number-columns-repeated="16384"><text:p>x</text:p>'
    row = f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-cell></table:table-row>'
    source = ods([["a", "b"]])
    with zipfile.ZipFile(io.BytesIO(source)) as archive:
        content = archive.read("content.xml").decode()
    first, end = content.index("<table:table-row"), content.rindex("</table:table>")
    return with_member(source, "content.xml", (content[:first] + row + content[end:]).encode())


def office() -> Iterator[tuple[str, bytes]]:
    far = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    sheet = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
    yield (
        "a cell far away.xlsx",
        with_member(xlsx({"S": [["a"]]}), "xl/worksheets/sheet1.xml", sheet.format(far).encode()),
    )
    many = sheet.format("<row>" + "<c><v>1</v></c>" * 15_000_000 + "</row>")
    yield "200 MB of cells.xlsx", with_member(xlsx({"S": [["a"]]}), "xl/worksheets/sheet1.xml", many.encode())
    yield "1 GB of a sheet.xlsx", with_member(xlsx({"S": [["a"]]}), "xl/worksheets/sheet1.xml", b" " * 2**30)
    yield "repeated cells.ods", repeated_ods()
    text = "<w:p><w:r><w:t>word</w:t></w:r></w:p>" * 5_000_000
    yield "190 MB of paragraphs.docx", docx(text)
    yield "deep elements.docx", docx("<w:sdt><w:sdtContent>" * 100_000)
    yield "deep elements.odt", odt("<text:section>" * 100_000)
    yield "laughs.odt", with_member(odt("<text:p>x</text:p>"), "content.xml", f"{LAUGHS}<x>&a9;</x>".encode())
    yield "laughs.pptx", with_member(pptx([("a", "b", "")]), "ppt/slides/slide1.xml", f"{LAUGHS}<x>&a9;</x>".encode())
    yield "200 MB chapter.epub", epub("Birds", {"one.xhtml": "<p>word</p>" * 19_000_000})


def archives() -> Iterator[tuple[str, bytes]]:
    yield "1 GB of zeros.zip", zipped({"a.txt": bytes(2**30)})
    yield "250 MB of zeros.zip", zipped({"a.txt": b"0 " * (125 * 2**20)})
    yield "ten to the sixth.zip", nested(6)
    yield "ten to the third.zip", nested(3)
    yield "100,000 members.zip", zipped({f"{number}.txt": b"a" for number in range(100_000)}, 1)
    yield "1 GB of zeros.gz", gzip.compress(bytes(2**30), 9)
    packed_six = b"text"
    for _ in range(6):
        packed_six = gzip.compress(packed_six)
    yield "six times packed.gz", packed_six
    yield "50,000 members.tar", tar_of(50_000)


def portable() -> Iterator[tuple[str, bytes]]:
    yield "1 GB of content.pdf", pdf_stream(b" " * 2**30)
    yield "50 MB of operators.pdf", pdf_stream(b"BT /F 1 Tf (a) Tj ET\n" * 2_500_000)
    yield "50 MB of lines.pdf", pdf_stream(b"0 0 m 9 9 l S\n" * 3_500_000)
    yield "1 GB of an object stream.pdf", object_stream(2**30)
    yield "cycle of pages.pdf", page_tree_cycle()
    yield "deep arrays.pdf", pdf_stream(b"[" * MANY, b"/X " + b"[" * 100_000)
    yield "a page of a light year.pdf", pdf_stream(b"", b"/UserUnit 1e30/CropBox[-1e30 -1e30 1e30 1e30]")
    yield "words at one place.pdf", pdf([("word " * 20, 72, 700, 10)] * 3_000)


def texts() -> Iterator[tuple[str, bytes]]:
    yield "deep.json", b"[" * MANY
    yield "deep objects.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    yield "long number.json", b'{"a": ' + b"9" * MANY + b"}"
    yield "deep.xml", b"<a>" * MANY
    yield "laughs.xml", f"{LAUGHS}<x>&a9;</x>".encode()
    yield "outside.xml", f"{OUTSIDE}<x>&f;</x>".encode()
    yield "attributes.xml", b"<a " + b"".join(b'a%d="" ' % n for n in range(200_000)) + b"/>"
    yield "deep.html", b"<html><body>" + b"<div>" * MANY
    yield "deep tables.html", b"<html><body>" + b"<table><tr><td>" * 100_000
    yield "wide.html", b"<html><body><table><tr>" + b"<td colspan=100000 rowspan=100000>x" * 1_000
    yield "a million columns.csv", b"a," * MANY + b"\n" + b"1," * MANY
    yield "an open quote.csv", b'a,b\n"' + b"x\n" * 5_000_000
    yield "deep.rtf", b"{\\rtf1 " + b"{" * MANY
    yield "nested parts.eml", nested_mail(2_000)
    yield (
        "many messages.mbox",
        b"From a@b Mon Jan 1 00:00:00 2025\nFrom: a@b\nDate: x\nSubject: y\n\ntext\n\n" * 200_000,
    )
    yield "deep cells.ipynb", json.dumps({"cells": [{"cell_type": "markdown", "source": ["x"] * MANY}]}).encode()
    yield "brackets.md", b"[" * MANY + b"](" * 100_000
    yield "marks.md", b"#" * MANY + b"\n" + b"<!--" * 200_000 + b"```" * 100_000
    yield "braces.tex", b"\\section{" * 200_000
    yield "braces.js", b"function f() {" * 200_000
    yield "deep.py", b"(" * MANY
    yield "one line.txt", b"word " * 10_000_000
    yield "no spaces.txt", b"x" * 20_000_000
    yield "60,000 x 60,000.png", png(60_000, 60_000)


@click.command(help=__doc__)
@click.option("--only", default="", help="Only the files whose names contain this.")
def main(only: str) -> None:
    click.echo("| file | kB | outcome | s | MB |\n|---|---:|---|---:|---:|")
    parse = ParseProcess()
    with tempfile.TemporaryDirectory() as folder:
        for kind in (texts, portable, archives, office):
            for name, content in kind():
                if only in name:
                    click.echo(_row(parse, Path(folder), name, content))
    parse.close()


def _row(parse: ParseProcess, folder: Path, name: str, content: bytes) -> str:
    path = folder / "file"
    path.write_bytes(content)
    began = time.perf_counter()
    try:
        outcome = f"read: {len(parse(path, name).text):,} characters"
    except CollectionError as error:
        outcome = str(error).removeprefix(f"{name}: ")[:110]
    spent = time.perf_counter() - began
    late = " **LATE**" if spent > time_for(str(path)) + 5 else ""
    return f"| {name} | {len(content) // 1024:,} | {outcome}{late} | {spent:.1f} | {_most_mb(parse)} |"


def _most_mb(parse: ParseProcess) -> str:
    process = parse._process
    try:
        status = Path(f"/proc/{process.pid if process else 0}/status").read_text("utf-8")
        return f"{int(status.partition('VmHWM:')[2].split()[0]) // 1024:,}"
    except (OSError, IndexError):
        return "-"


if __name__ == "__main__":
    main()
