"""Decompresses answers for requests that did not ask for compression. Only a plain answer can be read and extended."""

import asyncio
import zlib
from typing import Any, Protocol

from gateway.backends.http1 import Broken, TooLong, UpstreamFault
from gateway.backends.judged import BROKE_OFF, FailureOf, PieceSource

READABLE = ("gzip", "x-gzip", "deflate", "zstd")
_GZIP_OR_ZLIB = 47  # accepts zlib and gzip headers, with the largest window
_HEADER = 2
_MOST_AT_ONCE = 256 * 1024
_ZSTD_STEP = 1024
"""The number of compressed bytes that are decompressed in one step. They hold at most 256 blocks, each of which expands
to at most 128 kB.
"""
_MOST_MEMBERS = 2000
"""A body may consist of several compressed members. Thousands of empty ones would hold up the event loop."""
_MOST_WINDOW = 2**27
"""The maximum window of a zstd frame in bytes. The decoder keeps the window in memory."""


class _Inflater:
    """Unpacks gzip, zlib or bare deflate data of one or several members."""

    def __init__(self) -> None:
        self.members = 0
        self._member: Any = None
        self._first = b""

    def __call__(self, packed: bytes) -> tuple[bytes, bytes]:
        """Return the plain bytes, and the packed bytes that are left. Raises `zlib.error`."""
        if self._member is None or self._member.eof:
            self._first += packed
            if len(self._first) < _HEADER:
                return b"", b""
            packed, self._first = self._first, b""
            self._member = zlib.decompressobj(wbits=_window_bits(packed))
            self.members += 1
        plain: bytes = self._member.decompress(packed, _MOST_AT_ONCE)
        return plain, self._member.unconsumed_tail or self._member.unused_data


def _window_bits(first: bytes) -> int:
    """Return the `wbits` for zlib. Some servers send bare deflate data, which lacks the header of zlib."""
    is_zlib = first[0] & 15 == zlib.DEFLATED and int.from_bytes(first[:_HEADER], "big") % 31 == 0
    return _GZIP_OR_ZLIB if is_zlib or first[:_HEADER] == b"\x1f\x8b" else -zlib.MAX_WBITS


class _ZstdUnpacker:
    """Unpacks zstd data of one or several frames."""

    def __init__(self) -> None:
        import zstandard  # imported here, since most gateways never receive zstd

        self.members = 1
        self._decoder = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW)
        self._frame: Any = self._decoder.decompressobj()

    def __call__(self, packed: bytes) -> tuple[bytes, bytes]:
        """Return the plain bytes, and the packed bytes that are left. Raises `zlib.error`."""
        import zstandard

        if self._frame.eof:
            self._frame = self._decoder.decompressobj()
            self.members += 1
        step, rest = packed[:_ZSTD_STEP], packed[_ZSTD_STEP:]
        try:
            plain: bytes = self._frame.decompress(step)
        except zstandard.ZstdError as error:
            raise zlib.error(str(error)) from error
        return plain, (self._frame.unused_data if self._frame.eof else b"") + rest


class WholeSource(PieceSource, Protocol):
    """An answer that can be read in pieces or whole."""

    async def whole(self) -> bytes: ...


class UnpackedAnswer:
    """An upstream's compressed answer. `piece` returns decompressed bytes."""

    def __init__(self, answer: PieceSource, encoding: str, most_bytes: int) -> None:
        """`encoding` is one of `READABLE`. `most_bytes` limits the decompressed size, since a few megabytes can expand
        to gigabytes.
        """
        self._answer = answer
        self._room = most_bytes
        self._unpack = _ZstdUnpacker() if encoding == "zstd" else _Inflater()
        self._tail = b""

    async def piece(self) -> bytes:
        """Return the next decompressed piece, or b"" at the end.

        Raises `Broken` for bytes that cannot be unpacked, and `TooLong` beyond `most_bytes`.
        """
        while packed := self._tail or await self._answer.piece():
            try:
                plain, self._tail = self._unpack(packed)
            except zlib.error as error:
                raise Broken(f"cannot be unpacked: {error}") from error
            if self._unpack.members > _MOST_MEMBERS:
                raise Broken(f"cannot be unpacked: it has more than {_MOST_MEMBERS:,} parts")
            self._room -= len(plain)
            if self._room < 0:
                raise TooLong
            if plain:
                return plain
        return b""

    async def whole(self) -> bytes:
        """Read the whole body and close the answer. Raises the errors of `piece`."""
        pieces = []
        try:
            while piece := await self.piece():
                pieces.append(piece)
                await asyncio.sleep(0)  # other requests run while megabytes are unpacked
            return b"".join(pieces)
        finally:
            self.close()

    def close(self) -> None:
        self._answer.close()


class UnreadableStream:
    """A stream in an encoding that the request did not ask for. It cannot be read here, so its end is not checked."""

    def __init__(self, first: bytes, answer: PieceSource, failure: FailureOf) -> None:
        self._first, self._answer, self._failure = first, answer, failure

    def __aiter__(self) -> "UnreadableStream":
        return self

    async def __anext__(self) -> bytes:
        try:
            piece, self._first = self._first or await self._answer.piece(), b""
        except UpstreamFault as error:
            self._answer.close()
            raise self._failure(error, BROKE_OFF, "stream_cut") from error
        if not piece:
            self._answer.close()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        self._answer.close()
