"""Reads files as documents: text, Markdown, HTML, PDF, DOCX, and source code.

Whatever is wrong with a file is a `CollectionError` that names the file and the reason. The parsers
are imported when they are used.
"""

import codecs
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from gateway.context.reading.code import BRACES, PYTHON, code_document
from gateway.context.reading.document import Document, Heading
from gateway.errors import CollectionError

VERSION = 2
"""Part of each ingested file's recipe: a change of how files are read means reading again."""

MAX_BYTES = 64 * 1024 * 1024
MAX_UNPACKED_BYTES = 256 * 1024 * 1024
"""A DOCX is a zip file, and a small one can unpack to terabytes."""

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read(path: Path, name: str = "") -> Document:
    """The document in a file; `name` is what it is called, if that is not its path. Raises `CollectionError`."""
    named = Path(name) if name else path
    raw = _bytes(path, named)
    reader = READERS.get(named.suffix.lower(), read_text)
    try:
        document = reader(named, raw)
    except CollectionError:
        raise
    except Exception as error:  # parsers raise anything at all on a broken file
        raise CollectionError(f"{named}: cannot be read as {named.suffix or 'text'}: {_told(error)}") from error
    if not document.text.strip():
        hint = "; a scanned PDF must go through text recognition first" if named.suffix.lower() == ".pdf" else ""
        raise CollectionError(f"{named}: holds no text{hint}")
    return document


def _bytes(path: Path, named: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CollectionError(f"{named}: is {size // 2**20} MB; the most is {MAX_BYTES // 2**20} MB. Split it")
        return path.read_bytes()
    except OSError as error:
        raise CollectionError(f"{named}: {error.strerror or error}") from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def decode(path: Path, raw: bytes) -> str:
    """Bytes as text: UTF-8 first, then by byte order mark, then by what the bytes look like."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return _lines(raw.decode(encoding, "replace"))
    if b"\0" in raw:
        raise CollectionError(f"{path}: is a binary file; text, Markdown, HTML, PDF and DOCX can be read")
    try:
        return _lines(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return _lines(_guessed(path, raw))


def _guessed(path: Path, raw: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(raw).best()
    if best is None:
        raise CollectionError(f"{path}: its encoding cannot be told; save it as UTF-8")
    return str(best)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(path: Path, raw: bytes) -> Document:
    return Document(decode(path, raw))


def read_markdown(path: Path, raw: bytes) -> Document:
    text = decode(path, raw)
    return Document(text, tuple(markdown_headings(text)))


HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
FENCE = re.compile(r" {0,3}(```+|~~~+)")


def markdown_headings(text: str) -> list[Heading]:
    """The `#` headings that are not inside a code block."""
    found = []
    start = 0
    fence = ""
    for line in text.split("\n"):
        mark = FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence):
                fence = ""
        elif mark:
            fence = mark[1]
        elif heading := HEADING.match(line):
            found.append(Heading(start, len(heading[1]), heading[2]))
        start += len(line) + 1
    return found


def read_html(path: Path, raw: bytes) -> Document:
    from gateway.context.reading.html import html_document

    if b"\0" in raw and not raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CollectionError(f"{path}: is a binary file, not HTML")
    return html_document(raw)


def read_pdf(path: Path, raw: bytes) -> Document:
    import io

    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(raw))
    if reader.is_encrypted and not reader.decrypt(""):
        raise CollectionError(f"{path}: is encrypted; save it without a password")
    text = ""
    pages = []
    for page in reader.pages:
        pages.append(len(text))
        text += _lines(page.extract_text()).strip() + "\n\n"
    # Lone surrogates come out of broken font tables; no tokenizer and no database takes them.
    return Document(text.encode("utf-8", "replace").decode("utf-8"), pages=tuple(pages))


def read_docx(path: Path, raw: bytes) -> Document:
    import io

    import docx
    from docx.table import Table

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
            raise CollectionError(f"{path}: unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MB")
    text = ""
    headings = []
    for block in docx.Document(io.BytesIO(raw)).iter_inner_content():
        if isinstance(block, Table):
            text += "\n".join(" | ".join(cell.text.strip() for cell in row.cells) for row in block.rows) + "\n\n"
            continue
        level = _docx_level(block.style.name if block.style else "")
        if level and block.text.strip():
            headings.append(Heading(len(text), level, block.text.strip()))
        text += _lines(block.text) + "\n\n"
    return Document(text, tuple(headings))


def _docx_level(style: str | None) -> int:
    """The heading level of a paragraph style; 0 for plain text."""
    if style == "Title":
        return 1
    found = re.fullmatch(r"Heading ([1-6])", style or "")
    return int(found[1]) if found else 0


def read_code(path: Path, raw: bytes) -> Document:
    return code_document(decode(path, raw), path.name, path.suffix.lower())


READERS: dict[str, Callable[[Path, bytes], Document]] = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".pdf": read_pdf,
    ".docx": read_docx,
    **dict.fromkeys(PYTHON | BRACES, read_code),
}
