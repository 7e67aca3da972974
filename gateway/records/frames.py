"""The frame codec of the spool: a segment file is a sequence of length, checksum and payload.

A reader stops at the first incomplete frame and never searches for a later one: a payload is text from outside,
and could contain the bytes of a forged frame.
"""

import zlib
from struct import Struct as Layout

from msgspec import Raw, Struct
from msgspec.msgpack import Decoder

from gateway.records.schema import ExchangeRecord, encoder

HEADER = Layout("<II")  # payload bytes, checksum


class Frame(Struct, array_like=True, frozen=True):
    """A spooled record, with the unread bytes of the reply."""

    record: ExchangeRecord
    body: bytes = b""
    content_type: str = ""
    content_encoding: str = ""


class StoredFrame(Struct, array_like=True, frozen=True):
    """A frame whose record is not decoded yet, since an older version may have written it."""

    record: Raw
    body: bytes = b""
    content_type: str = ""
    content_encoding: str = ""


class Scan(Struct, frozen=True):
    """The readable part of a segment: `good` of `total` bytes, and whether the rest is an unfinished frame.

    A killed process leaves an unfinished frame. Anything else that stops the reader is damage.
    """

    good: int
    total: int
    torn: bool = False

    @property
    def damaged(self) -> bool:
        return self.good < self.total and not self.torn


_stored = Decoder(StoredFrame)


def pack(frame: Frame, buffer: bytearray) -> None:
    """Write the frame into a buffer, which can be reused."""
    encoder.encode_into(frame, buffer, HEADER.size)
    size = len(buffer) - HEADER.size
    HEADER.pack_into(buffer, 0, size, 0)
    # the checksum includes the length, so that zeros, which a crashed machine can leave, are not a valid frame
    HEADER.pack_into(buffer, 0, size, zlib.crc32(buffer))


def unpack(data: bytes) -> tuple[list[memoryview], Scan]:
    """The payloads of all complete frames from the start, and the result of the scan."""
    view = memoryview(data)
    payloads: list[memoryview] = []
    at = 0
    while (end := _end(view, at)) > at:
        payloads.append(view[at + HEADER.size : end])
        at = end
    rest = len(data) - at
    torn = rest > 0 and (rest < HEADER.size or rest < HEADER.size + HEADER.unpack_from(view, at)[0])
    return payloads, Scan(at, len(data), torn)


def stored(payload: memoryview) -> StoredFrame:
    """Decode a payload. Raises `msgspec.DecodeError`."""
    return _stored.decode(payload)


def _end(view: memoryview, at: int) -> int:
    """The end of the frame that starts at `at`; `at` itself if the frame is incomplete."""
    if len(view) - at < HEADER.size:
        return at
    size, checksum = HEADER.unpack_from(view, at)
    end = int(at + HEADER.size + size)
    if end > len(view):
        return at
    seed = zlib.crc32(HEADER.pack(size, 0))
    return end if zlib.crc32(view[at + HEADER.size : end], seed) == checksum else at
