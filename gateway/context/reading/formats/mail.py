"""Reads e-mail in EML, MBOX, MSG and MHTML files, with the attachments that can be read."""

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import Any

from gateway.context.reading.document import Document
from gateway.context.reading.encodings import DecodedText, UnknownEncoding, decoded
from gateway.context.reading.formats.html import html_document, page_text
from gateway.context.reading.formats.markdown import same_lines
from gateway.context.reading.writer import DocumentWriter
from gateway.errors import CollectionError

ReadPart = Callable[[Path, bytes], Document]
"""A function that reads an attachment. Its arguments are the attachment's name and bytes."""

SHOWN_HEADERS = ("From", "To", "Cc", "Date")
LONGEST_HEADER = 4000
SEPARATOR = re.compile(rb"(?:\A|\n)From [^\n]{1,400}\n(?=[!-9;-~]{1,80}:)")
MOST_PARTS = 1000
FULLER = 2
"""HTML with more than this many times the words of the plain text is read in place of the plain text."""
RTF_BODY = 0x1009


def read_eml(path: Path, raw: bytes, read_part: ReadPart) -> Document:
    writer = DocumentWriter()
    _write_message(writer, message_from_bytes(raw), read_part, 1)
    return writer.document("e-mail")


def read_mbox(path: Path, raw: bytes, read_part: ReadPart) -> Document:
    writer = DocumentWriter()
    starts = [match.end() for match in SEPARATOR.finditer(raw)]
    ends = [*(match.start() for match in SEPARATOR.finditer(raw)), len(raw)][1:]
    for start, end in zip(starts, ends, strict=True):
        _write_message(writer, message_from_bytes(raw[start:end]), read_part, 1)
    return writer.document("mailbox")


def read_mhtml(path: Path, raw: bytes, read_part: ReadPart) -> Document:
    """Read the HTML page of an MHTML file. The other parts are pictures and style sheets, and are ignored."""
    for part in _leaves(message_from_bytes(raw)):
        if part.get_content_type() in ("text/html", "application/xhtml+xml"):
            return html_document(page_text(path, _payload(part)), "MHTML")
    raise CollectionError(f"{path}: holds no HTML page")


def _write_message(writer: DocumentWriter, message: "Message[str, str]", read_part: ReadPart, level: int) -> None:
    writer.heading(level, _header(message, "Subject") or "(no subject)")
    lines = [f"{name}: {value}" for name in SHOWN_HEADERS if (value := _header(message, name))]
    writer.paragraph("\n".join(lines))
    leaves = list(_leaves(message))
    body, text = _body(leaves)
    if text is not None:
        writer.append(text, level)
    for part in leaves:
        if part is body or part.get_content_type() == "message/rfc822":
            continue
        name = _file_name(part)
        if part.get_content_maintype() == "image":
            writer.picture()
            if part.get_content_disposition() == "attachment":
                writer.leave_out(f"attached picture {name}")
        elif name or part.get_content_maintype() not in ("text", "multipart"):
            write_attachment(writer, name or "attachment", _payload(part), read_part, level + 1)
        elif body is not None and part.get_content_type() == body.get_content_type():
            # the message has more text parts, such as a list's footer
            writer.append(_text(part), level)
    for inner in _messages(message):
        _write_message(writer, inner, read_part, min(level + 1, 6))


def _leaves(message: "Message[str, str]") -> Iterator["Message[str, str]"]:
    """Yield the parts of a message that have content. The parts of attached messages are left out."""
    waiting = [message]
    count = 0
    while waiting and count < MOST_PARTS:
        part = waiting.pop(0)
        count += 1
        if part.get_content_type() == "message/rfc822":
            continue
        if part.is_multipart():
            waiting = [*_parts(part), *waiting]
        else:
            yield part


def _messages(message: "Message[str, str]") -> Iterator["Message[str, str]"]:
    for part in _parts(message):
        if part.get_content_type() == "message/rfc822":
            yield from _parts(part)
        elif part.is_multipart():
            yield from _messages(part)


def _parts(message: "Message[str, str]") -> list["Message[str, str]"]:
    payload: Any = message.get_payload()
    return payload if isinstance(payload, list) else []


def _body(leaves: "list[Message[str, str]]") -> "tuple[Message[str, str] | None, Document | None]":
    """Return the part with the plain text or the part with the HTML, and what it says. Both are None if neither has
    text.

    The plain text is returned unless the HTML says more: a program may write "see the HTML part" in place of a text,
    and the rows of a table lose their titles in plain text.
    """
    plain, page = (_first(leaves, kind) for kind in ("text/plain", "text/html"))
    if plain is None or page is None:
        only = page if plain is None else plain
        return only, None if only is None else _text(only)
    text, shown = _text(plain), _text(page)
    words = len(shown.text.split())
    is_fuller = bool(words and shown.report.tables and shown.leads) or words > FULLER * len(text.text.split())
    return (page, shown) if is_fuller else (plain, text)


def _first(leaves: "list[Message[str, str]]", kind: str) -> "Message[str, str] | None":
    """Return the first part of this kind that has content and is not an attachment."""
    for part in leaves:
        shown = part.get_content_type() == kind and part.get_content_disposition() != "attachment"
        if shown and _payload(part).strip():
            return part
    return None


def _text(part: "Message[str, str]") -> Document:
    raw = _payload(part)
    text = _decoded(raw, part.get_content_charset())
    if part.get_content_type() == "text/html":
        return html_document(text)
    return Document(text.text)


def _decoded(raw: bytes, charset: str | None) -> DecodedText:
    try:
        return DecodedText(same_lines(raw.decode(charset or "utf-8")), charset or "utf-8")
    except (LookupError, UnicodeError):
        pass
    try:
        text = decoded(raw)
    except UnknownEncoding:
        return DecodedText(same_lines(raw.decode("latin-1").replace("\0", "")), "latin-1", 0.5)
    return DecodedText(same_lines(text.text), text.encoding, text.certainty)


def _payload(part: "Message[str, str]") -> bytes:
    payload: Any = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _header(message: "Message[str, str]", name: str) -> str:
    return _unfolded(str(message.get(name) or ""))


def _unfolded(value: str) -> str:
    value = value[:LONGEST_HEADER]
    # a header with an unknown encoding stays as it is
    with contextlib.suppress(LookupError, ValueError, UnicodeError):
        value = str(make_header(decode_header(value)))
    return " ".join(value.encode("utf-8", "replace").decode().split())


def _file_name(part: "Message[str, str]") -> str:
    return Path(_unfolded(part.get_filename() or "").replace("\\", "/")).name


def write_attachment(writer: DocumentWriter, name: str, raw: bytes, read_part: ReadPart, level: int) -> None:
    """Write the content of an attached file below the file's name. A file that is unreadable or holds no text is
    reported as left out.
    """
    try:
        document = read_part(Path(name), raw)
    except CollectionError as error:
        writer.leave_out(f"attachment {error}")
        return
    if not document.text.strip():
        writer.leave_out("; ".join((f"attachment {name}: holds no text", *document.report.left_out)))
        return
    writer.heading(level, name)
    writer.append(document, level)


def read_msg(path: Path, raw: bytes, read_part: ReadPart) -> Document:
    from oxmsg import Message as OutlookMessage

    message: Any = OutlookMessage.load(io.BytesIO(raw))
    writer = DocumentWriter()
    writer.heading(1, message.subject or "(no subject)")
    to = "; ".join(f"{recipient.name} <{recipient.email_address}>" for recipient in message.recipients)
    sent = message.sent_date.isoformat(" ") if message.sent_date else ""
    lines = [f"{name}: {value}" for name, value in (("From", message.sender), ("To", to), ("Date", sent)) if value]
    writer.paragraph("\n".join(lines))
    _write_outlook_body(writer, message)
    for attachment in message.attachments:
        name = Path((attachment.file_name or "attachment").replace("\\", "/")).name
        if attachment.file_bytes is None:
            writer.leave_out(f"attachment {name}: is a message or a link")
        else:
            write_attachment(writer, name, attachment.file_bytes, read_part, 2)
    return writer.document("MSG")


def _write_outlook_body(writer: DocumentWriter, message: Any) -> None:
    """Write the plain text of the message, or else its HTML, or else its compressed RTF."""
    if (message.body or "").strip():
        writer.append(Document(same_lines(message.body)))
    elif (message.html_body or "").strip():
        writer.append(html_document(DecodedText(message.html_body, "utf-8")))
    elif packed := message.properties.binary_prop_value(RTF_BODY):
        from compressed_rtf import decompress

        from gateway.context.reading.formats.rtf import write_rtf

        write_rtf(writer, decompress(packed).decode("latin-1"))
