"""The frame format of the spool. A segment file is a sequence of frames. A frame has a length, a checksum and a
payload.

A reader stops at the first bad frame and never searches for the next frame, because a payload holds text from outside,
which could contain a forged frame.
"""

import zlib
from struct import Struct as Layout

from msgspec import Raw, Struct
from msgspec.msgpack import Decoder

from gateway.records.schema import ExchangeRecord, encoder

HEADER = Layout("<II")  # payload bytes, checksum


class Frame(Struct, array_like=True, frozen=True):
    """A record to spool, and the bytes of the backend's reply, which are not decoded yet."""

    record: ExchangeRecord
    body: bytes = b""
    content_type: str = ""
    content_encoding: str = ""


class StoredFrame(Struct, array_like=True, frozen=True):
    """A frame read from the spool. The record is not decoded yet, because an older version of Foreword may have written
    it."""

    record: Raw
    body: bytes = b""
    content_type: str = ""
    content_encoding: str = ""


class Scan(Struct, frozen=True):
    """The result of scanning a segment of `total` bytes. The first `good` bytes are readable.

    `torn` is True if the rest is an incomplete frame, which a killed process leaves behind. Any other rest means that
    the segment is damaged.
    """

    good: int
    total: int
    torn: bool = False

    @property
    def damaged(self) -> bool:
        return self.good < self.total and not self.torn


_stored = Decoder(StoredFrame)


def pack(frame: Frame, buffer: bytearray) -> None:
    """Replace the contents of `buffer` by the encoded frame."""
    encoder.encode_into(frame, buffer, HEADER.size)
    size = len(buffer) - HEADER.size
    HEADER.pack_into(buffer, 0, size, 0)
    # the checksum covers the length, so that zeros left by a crashed machine are not a valid frame
    HEADER.pack_into(buffer, 0, size, zlib.crc32(buffer))


def unpack(data: bytes) -> tuple[list[memoryview], Scan]:
    """Return the payloads before the first bad frame, and the result of the scan."""
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
    """Return the end of the frame that starts at `at`, or `at` if that frame is incomplete or has a wrong checksum."""
    if len(view) - at < HEADER.size:
        return at
    size, checksum = HEADER.unpack_from(view, at)
    end = int(at + HEADER.size + size)
    if end > len(view):
        return at
    seed = zlib.crc32(HEADER.pack(size, 0))
    return end if zlib.crc32(view[at + HEADER.size : end], seed) == checksum else at
