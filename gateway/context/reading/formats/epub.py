"""Reads EPUB files. The chapters are read in reading order, each as HTML."""

import posixpath
from pathlib import Path
from urllib.parse import unquote

from gateway.context.reading.archive import Archive
from gateway.context.reading.document import Document
from gateway.context.reading.formats.html import html_document, page_text
from gateway.context.reading.writer import DocumentWriter

OPF = "{http://www.idpf.org/2007/opf}"
DC = "{http://purl.org/dc/elements/1.1/}"
CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}rootfile"


def read_epub(path: Path, raw: bytes) -> Document:
    archive = Archive(path, raw)
    rootfile = next(archive.xml("META-INF/container.xml").iter(CONTAINER))
    part = rootfile.get("full-path") or ""
    package = archive.xml(part)
    items = {item.get("id"): item for item in package.iter(OPF + "item")}
    writer = DocumentWriter()
    writer.heading(1, package.findtext(f".//{DC}title") or "")
    for reference in package.iter(OPF + "itemref"):
        item = items.get(reference.get("idref"))
        if item is None or "nav" in (item.get("properties") or "").split():
            continue
        name = posixpath.normpath(posixpath.join(posixpath.dirname(part), unquote(item.get("href") or "")))
        if name not in archive:
            writer.leave_out(f"chapter {name}: is missing")
        else:
            writer.append(html_document(page_text(name, archive.read(name))), level=1)
    return writer.document("EPUB")
