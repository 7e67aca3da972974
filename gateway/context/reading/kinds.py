"""Detects the kind of a file. The first bytes decide, since names are often wrong. If these bytes do not show the kind,
the name decides. A kind is a suffix such as `.docx`.
"""

import io
import re
import zipfile
from pathlib import Path

from gateway.errors import CollectionError

HEAD_BYTES = 4096
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PICTURES = {
    b"\x89PNG": "PNG picture",
    b"\xff\xd8\xff": "JPEG picture",
    b"GIF8": "GIF picture",
    b"II*\0": "TIFF picture",
    b"MM\0*": "TIFF picture",
}
"""The first bytes of pictures, whose text may be recognised, with a name for each kind."""
BINARY = {
    b"ID3": "sound recording",
    b"OggS": "sound recording",
    b"\x1aE\xdf\xa3": "film",
    b"\x7fELF": "program",
    b"MZ\x90": "program",
    b"SQLite format 3\0": "database",
    b"7z\xbc\xaf": "7z archive",
    b"Rar!": "RAR archive",
}
"""The first bytes of files that hold no readable text, with a name for each kind of file."""
MIME_TYPES = {
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.oasis.opendocument.text-template": ".odt",
    "application/vnd.oasis.opendocument.presentation": ".odp",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/epub+zip": ".epub",
}
OLE_STREAMS = {"Workbook": ".xls", "Book": ".xls", "__properties_version1.0": ".msg", "WordDocument": ".doc"}
ALIASES = {
    ".markdown": ".md",
    ".htm": ".html",
    ".xhtml": ".html",
    ".mht": ".mhtml",
    ".ndjson": ".jsonl",
    ".tab": ".tsv",
    ".vtt": ".srt",
    ".docm": ".docx",
    ".dotx": ".docx",
    ".pptm": ".pptx",
    ".ppsx": ".pptx",
    ".xlsm": ".xlsx",
    ".ott": ".odt",
    ".rest": ".rst",
    ".latex": ".tex",
    ".atom": ".xml",
    ".rss": ".xml",
    ".geojson": ".json",
    ".tgz": ".gz",
    ".tbz2": ".bz2",
    ".txz": ".xz",
}
COMPRESSED = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz"}
TAR_MARK = slice(257, 262)
"""The place of the word `ustar` in an archive."""
SHEETS_BY_NAME = (".xls", ".xlsx", ".ods")
HTML = re.compile(rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html)\b", re.I | re.S)
HEADER = re.compile(
    rb"(?:from|to|subject|date|received|return-path|mime-version|message-id|delivered-to|x-[\w-]{1,80}): ?",
    re.IGNORECASE,
)
MAIL_HEADERS = (b"from:", b"date:", b"subject:", b"received:", b"mime-version:", b"message-id:")
FREE = ("", ".txt", ".text", ".log", ".bin", ".dat", ".tmp")
"""Suffixes that say nothing about the content of a file."""


def kind_of(name: Path, raw: bytes) -> str:
    """Return the kind of a file. Raises `CollectionError` for a file that holds no readable text, for example a film or
    an encrypted file. The message names a remedy if there is one.
    """
    suffix = ALIASES.get(name.suffix.lower(), name.suffix.lower())
    head = raw[:HEAD_BYTES]
    if picture_kind(head):
        return ".picture"
    for mark, what in BINARY.items():
        if head.startswith(mark):
            raise CollectionError(f"{name}: is a binary file ({what}), not a document")
    for mark, kind in COMPRESSED.items():
        if head.startswith(mark):
            return kind
    if head[TAR_MARK] == b"ustar":
        return ".tar"
    if b"%PDF-" in head[:1024]:
        return ".pdf"
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(raw, suffix)
    if head.startswith(OLE):
        return _ole_kind(name, raw, suffix)
    if head.startswith(b"{\\rtf"):
        return ".rtf"
    return _text_kind(head.removeprefix(b"\xef\xbb\xbf"), suffix)


def picture_kind(raw: bytes) -> str:
    """Return the name of a picture's format, or "" for other files."""
    return next((what for mark, what in PICTURES.items() if raw.startswith(mark)), "")


def _zip_kind(raw: bytes, suffix: str) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = archive.namelist()
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
                mime = archive.read("mimetype").decode("ascii", "replace").strip()
                if mime in MIME_TYPES:
                    return MIME_TYPES[mime]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        return suffix or ".zip"
    for folder, kind in (("word/", ".docx"), ("ppt/", ".pptx"), ("xl/", ".xlsx")):
        if any(name.startswith(folder) for name in names):
            # a binary workbook is a zip file too
            return ".xlsb" if "xl/workbook.bin" in names else kind
    return suffix if suffix in MIME_TYPES.values() or suffix in (".docx", ".pptx", ".xlsx") else ".zip"


def _ole_kind(name: Path, raw: bytes, suffix: str) -> str:
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(raw)) as file:
            streams = {parts[0] for parts in file.listdir()}
    except Exception:
        # a damaged file: its name decides, and its reader will report the damage
        return suffix
    if "EncryptedPackage" in streams:
        raise CollectionError(f"{name}: is encrypted; save it without a password")
    kind = next((kind for stream, kind in OLE_STREAMS.items() if stream in streams), suffix)
    if kind == ".doc" or "PowerPoint Document" in streams:
        newer = "DOCX" if kind == ".doc" else "PPTX"
        raise CollectionError(f"{name}: has the format of Word or PowerPoint before 2007; save it as {newer}")
    return kind


def _text_kind(head: bytes, suffix: str) -> str:
    if suffix in (*FREE, *SHEETS_BY_NAME, ".doc", ".docx", ".pdf") and HTML.match(head):
        return ".html"
    if suffix in SHEETS_BY_NAME and b"\0" not in head and head.strip():
        # some programs export text with a workbook's suffix
        return ".html" if head.lstrip()[:6].lower() == b"<table" else ".csv"
    if suffix in FREE:
        if head.startswith(b"From ") and _is_mail(head.partition(b"\n")[2]):
            return ".mbox"
        if _is_mail(head):
            return ".mhtml" if b"snapshot-content-location:" in head.lower() else ".eml"
        if head.startswith(b"WEBVTT"):
            return ".srt"
        if head.startswith(b"<?xml"):
            return ".xml"
    return suffix


def _is_mail(head: bytes) -> bool:
    """Whether a file begins with the headers of a message."""
    if not HEADER.match(head):
        return False
    lines = head.lower().partition(b"\n\n")[0].replace(b"\r\n\r\n", b"\n\n").splitlines()
    return sum(line.startswith(MAIL_HEADERS) for line in lines) >= 3
