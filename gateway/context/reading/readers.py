"""Reads files as documents. The kind of a file is told by its first bytes, then by its name.

Whatever is wrong with a file is a `CollectionError` that names the file and the reason. The parsers
are imported when they are used.
"""

from collections.abc import Callable
from pathlib import Path

from gateway.context.reading.document import Document
from gateway.context.reading.formats.code import BRACES, PYTHON, code_document
from gateway.context.reading.formats.markdown import decode, read_markdown, read_text, text_report
from gateway.errors import CollectionError

VERSION = 3
"""Part of each ingested file's recipe: a change of how files are read means reading again."""

MAX_BYTES = 64 * 1024 * 1024


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
        raise CollectionError(f"{named}: cannot be read as {named.suffix or 'text'}: {_reason(error)}") from error
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


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def read_code(path: Path, raw: bytes) -> Document:
    text = decode(path, raw)
    return code_document(text.text, path.name, path.suffix.lower(), text_report("code", text))


def read_html(path: Path, raw: bytes) -> Document:
    from gateway.context.reading.formats import html

    return html.read_html(path, raw)


def read_pdf(path: Path, raw: bytes) -> Document:
    from gateway.context.reading.formats.pdf import reader

    return reader.read_pdf(path, raw)


def read_docx(path: Path, raw: bytes) -> Document:
    from gateway.context.reading.formats import docx

    return docx.read_docx(path, raw)


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
