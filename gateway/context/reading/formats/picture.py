"""Reads pictures: their text, if it is to be recognised."""

from pathlib import Path

from gateway.context.reading.document import Document
from gateway.context.reading.formats.pdf.reader import write_recognised
from gateway.context.reading.formats.pdf.recognised import recognised_picture
from gateway.context.reading.kinds import picture_kind
from gateway.context.reading.recognition import NotRecognised, Recogniser
from gateway.context.reading.writer import DocumentWriter
from gateway.errors import CollectionError


def read_picture(path: Path, raw: bytes, recogniser: Recogniser) -> Document:
    if not recogniser.is_on:
        raise CollectionError(f"{path}: is a binary file ({picture_kind(raw)}), not a document")
    try:
        found = recognised_picture(raw, recogniser)
    except NotRecognised as error:
        raise CollectionError(f"{path}: is a picture; {error}") from error
    writer = DocumentWriter()
    writer.picture()
    if found:
        write_recognised(writer, found)
    return writer.document("picture")
