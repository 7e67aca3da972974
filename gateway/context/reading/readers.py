"""Reads files as documents. The first bytes of a file decide its kind. If they do not show the kind, the name decides.

If a file cannot be read, a `CollectionError` is raised, whose message gives the file and the reason. Parsers are
imported when they are first needed.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from msgspec.structs import replace

from gateway.context.reading.document import Document, Heading
from gateway.context.reading.formats.code import BRACES, PYTHON
from gateway.context.reading.formats.definitions import FORMS
from gateway.context.reading.kinds import kind_of
from gateway.context.reading.recognition import NO_RECOGNITION, Recogniser, Recognition
from gateway.context.reading.writer import DocumentWriter
from gateway.context.store.index_text import label_of
from gateway.errors import CollectionError

VERSION = 7
"""The version of the readers. It is part of the recipe of each ingested file. Increase it after a change to a reader,
so that files are read again.
"""

MAX_BYTES = 64 * 1024 * 1024
DEEPEST = 3
"""Attachments are read up to this nesting depth."""
MOST_FILES = 500
"""The maximum number of files that are read from an archive."""

OFF = Recogniser(NO_RECOGNITION)
"""Recognises nothing."""

TABLES = frozenset(("CSV", "TSV", "XLSX", "XLS", "XLSB", "ODS"))

FORMATS = "gateway.context.reading.formats"
READERS: dict[str, str] = {
    ".csv": "sheets:read_csv",
    ".docx": "docx:read_docx",
    ".epub": "epub:read_epub",
    ".html": "html:read_html",
    ".ipynb": "trees:read_notebook",
    ".json": "trees:read_json",
    ".jsonl": "trees:read_jsonl",
    ".md": "markdown:read_markdown",
    ".odp": "odf:read_odf",
    ".ods": "sheets:read_workbook",
    ".odt": "odf:read_odf",
    ".pptx": "slides:read_pptx",
    ".rst": "markup:read_rst",
    ".rtf": "rtf:read_rtf",
    ".srt": "markup:read_subtitles",
    ".tex": "markup:read_latex",
    ".tsv": "sheets:read_csv",
    ".xls": "sheets:read_workbook",
    ".xlsb": "sheets:read_workbook",
    ".xlsx": "sheets:read_workbook",
    ".xml": "trees:read_xml",
    **dict.fromkeys([*PYTHON, *BRACES, *FORMS], "code:read_code"),
}
"""The reader of each kind, as `module:function` within `formats`. Files of all other kinds are read as text."""
WITH_PARTS: dict[str, str] = {
    ".bz2": "packed:read_compressed",
    ".eml": "mail:read_eml",
    ".gz": "packed:read_compressed",
    ".mbox": "mail:read_mbox",
    ".mhtml": "mail:read_mhtml",
    ".msg": "mail:read_msg",
    ".tar": "packed:read_tar",
    ".xz": "packed:read_compressed",
}
"""The readers of kinds that contain other files. Each reader also gets a function that reads the contained files."""
WITH_PICTURES: dict[str, str] = {
    ".pdf": "pdf.reader:read_pdf",
    ".picture": "picture:read_picture",
}
"""The readers of kinds whose text may be a picture. Each reader also gets what recognises it."""


def read(path: Path, name: str = "", recognition: Recognition = NO_RECOGNITION) -> Document:
    """Read a file. If the path does not end in the file's name, pass `name`. Raises `CollectionError` if the file
    cannot be read or holds no text.
    """
    named = Path(name) if name else path
    document = read_bytes(named, _bytes(path, named), Recogniser(recognition))
    if not document.text.strip():
        reason = "; ".join(("holds no text", *document.report.left_out))
        scanned = document.report.kind == "PDF"
        hint = "; a scanned PDF needs text recognition: see [context] ocr" if scanned else ""
        raise CollectionError(f"{named}: {reason}{hint}")
    return _titled(document, named)


def _titled(document: Document, named: Path) -> Document:
    """Put a table without headings below the words of the file's name. The name is often the only place that says what
    the table is about.
    """
    title = label_of(named.name)
    if document.headings or document.report.kind not in TABLES or not title:
        return document
    return replace(document, headings=(Heading(0, 1, title, own_line=False),))


def read_bytes(name: Path, raw: bytes, recogniser: Recogniser = OFF, depth: int = 0) -> Document:
    """Read a file from its bytes. `depth` is the number of files that contain this file, one inside the other. The text
    of the document may be empty. Raises `CollectionError` if the file cannot be read.
    """
    kind = kind_of(name, raw)

    def read_part(part: Path, content: bytes) -> Document:
        if depth >= DEEPEST:
            raise CollectionError(f"{part}: is nested in too many other files")
        return read_bytes(part, content, recogniser, depth + 1)

    try:
        if kind == ".zip":
            return _archive(name, raw, read_part)
        if kind in WITH_PARTS:
            return _function(WITH_PARTS[kind])(name, raw, read_part)
        if kind in WITH_PICTURES:
            return _function(WITH_PICTURES[kind])(name, raw, recogniser)
        return _function(READERS.get(kind, "markdown:read_text"))(name, raw)
    except CollectionError:
        raise
    except Exception as error:  # a parser may raise anything for a broken file
        raise CollectionError(f"{name}: cannot be read as {kind or 'text'}: {_reason(error)}") from error


def _function(place: str) -> Callable[..., Document]:
    module, _, name = place.partition(":")
    function: Callable[..., Document] = getattr(import_module(f"{FORMATS}.{module}"), name)
    return function


def _archive(name: Path, raw: bytes, read_part: Callable[[Path, bytes], Document]) -> Document:
    """Read the files in an archive, and write each below its name."""
    from gateway.context.reading.archive import Archive
    from gateway.context.reading.formats.mail import write_attachment

    archive = Archive(name, raw)
    writer = DocumentWriter()
    files = [member for member in archive.names if not member.endswith("/") and "__MACOSX" not in member]
    for member in files[:MOST_FILES]:
        write_attachment(writer, member, archive.read(member), read_part, 1)
    for _ in files[MOST_FILES:]:
        writer.leave_out(f"files after {MOST_FILES}")
    return writer.document("ZIP")


def _bytes(path: Path, named: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CollectionError(f"{named}: is {size // 2**20} MB; at most {MAX_BYTES // 2**20} MB. Split it")
        return path.read_bytes()
    except OSError as error:
        raise CollectionError(f"{named}: {error.strerror or error}") from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
