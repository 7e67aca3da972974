"""The frame codec of the spool: length, checksum, payload, one after the other in a segment file.

A reader stops at the first frame that is not whole. It never looks for a later one: a payload is
text from outside, which could hold the bytes of a forged frame.
"""

import zlib
from struct import Struct as Layout

from msgspec import Raw, Struct
from msgspec.msgpack import Decoder

from gateway.records.schema import ExchangeRecord, encoder

HEADER = Layout("<II")  # payload bytes, checksum


class Frame(Struct, array_like=True, frozen=True):
    """A record as it is spooled, with the reply's bytes that nobody has read yet."""

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
    """How far a segment could be read: `good` bytes of `total`, and whether the rest was torn off.

    A torn end is what a killed process leaves; anything else that stops the reader is damage.
    """

    good: int
    total: int
    torn: bool = False

    @property
    def damaged(self) -> bool:
        return self.good < self.total and not self.torn


_stored = Decoder(StoredFrame)


def pack(frame: Frame, buffer: bytearray) -> None:
    """Write the frame into the buffer, which is used again and again."""
    encoder.encode_into(frame, buffer, HEADER.size)
    size = len(buffer) - HEADER.size
    HEADER.pack_into(buffer, 0, size, 0)
    # over the length too: a stretch of zeros, as a crashed machine leaves it, is no frame
    HEADER.pack_into(buffer, 0, size, zlib.crc32(buffer))


def unpack(data: bytes) -> tuple[list[memoryview], Scan]:
    """The payloads of all whole frames from the start, and where that ended."""
    view = memoryview(data)
    found: list[memoryview] = []
    at = 0
    while (end := _end(view, at)) > at:
        found.append(view[at + HEADER.size : end])
        at = end
    rest = len(data) - at
    torn = rest > 0 and (rest < HEADER.size or rest < HEADER.size + HEADER.unpack_from(view, at)[0])
    return found, Scan(at, len(data), torn)


def stored(payload: memoryview) -> StoredFrame:
    """Raises `msgspec.DecodeError` if the payload is none of ours."""
    return _stored.decode(payload)


def _end(view: memoryview, at: int) -> int:
    """Where the frame that starts at `at` ends; `at` itself if there is no whole one."""
    if len(view) - at < HEADER.size:
        return at
    size, checksum = HEADER.unpack_from(view, at)
    end = int(at + HEADER.size + size)
    if end > len(view):
        return at
    seed = zlib.crc32(HEADER.pack(size, 0))
    return end if zlib.crc32(view[at + HEADER.size : end], seed) == checksum else at
