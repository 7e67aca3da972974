"""Reads TAR archives, and files that are compressed alone (gzip, bzip2, xz)."""

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

from gateway.context.reading.archive import MAX_UNPACKED_BYTES
from gateway.context.reading.document import Document
from gateway.context.reading.formats.mail import ReadPart, write_attachment
from gateway.context.reading.writer import DocumentWriter
from gateway.errors import CollectionError

MOST_FILES = 500
"""The maximum number of files that are read from an archive."""
INNER = {".tgz": ".tar", ".tbz2": ".tar", ".txz": ".tar", ".svgz": ".svg"}
"""What a compressed file is called when it is unpacked, by the end of its name. Other ends are removed."""


def read_compressed(path: Path, raw: bytes, read_part: ReadPart) -> Document:
    with _opened(raw) as file:
        content: bytes = file.read(MAX_UNPACKED_BYTES + 1)
    if len(content) > MAX_UNPACKED_BYTES:
        raise CollectionError(f"{path}: unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MB")
    return read_part(path.with_suffix(INNER.get(path.suffix.lower(), "")), content)


def _opened(raw: bytes) -> gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    file = io.BytesIO(raw)
    if raw.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    return bz2.BZ2File(file) if raw.startswith(b"BZh") else lzma.LZMAFile(file)


def read_tar(path: Path, raw: bytes, read_part: ReadPart) -> Document:
    writer = DocumentWriter()
    count = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            for member in archive:
                count += member.isfile()
                if count > MOST_FILES:
                    writer.leave_out(f"files after {MOST_FILES}")
                    break
                if member.isfile():
                    _write_member(writer, archive, member, len(raw), read_part)
    except tarfile.TarError:
        if not count:
            raise
        writer.leave_out("the end of the archive, which is damaged")
    return writer.document("TAR")


def _write_member(
    writer: DocumentWriter, archive: tarfile.TarFile, member: tarfile.TarInfo, most: int, read_part: ReadPart
) -> None:
    """Write a file. A sparse one can claim terabytes, of which the archive holds none."""
    file = archive.extractfile(member) if member.size <= most else None
    if file is None:
        writer.leave_out(f"attachment {member.name}: is longer than the archive")
    else:
        write_attachment(writer, member.name, file.read(), read_part, 1)
