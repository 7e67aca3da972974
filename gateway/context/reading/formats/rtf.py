"""Reads RTF files with striprtf. Tables are read as rows of cells."""

from pathlib import Path
from typing import Any

from gateway.context.reading.document import Document
from gateway.context.reading.table import Table
from gateway.context.reading.writer import DocumentWriter


def read_rtf(path: Path, raw: bytes) -> Document:
    writer = DocumentWriter()
    write_rtf(writer, raw.decode("latin-1"))
    return writer.document("RTF")


def write_rtf(writer: DocumentWriter, source: str) -> None:
    from striprtf import striprtf

    convert: Any = striprtf.rtf_to_text
    rows: list[list[str]] = []
    for line in [*convert(source, errors="replace").split("\n"), ""]:
        if line.endswith("|") and line.count("|") > 1:
            rows.append(line.removesuffix("|").split("|"))
            continue
        writer.table(Table(rows))
        rows = []
        writer.paragraph(line)
    for _ in range(source.count("\\pict")):
        writer.picture()
