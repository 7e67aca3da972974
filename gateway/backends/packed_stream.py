"""Compressed streams: unpacked to check their content, and passed on as the bytes that arrived."""

import zlib

from gateway.backends.connection_pool import UpstreamAnswer
from gateway.backends.http1 import Broken, TooLong, UpstreamFault
from gateway.backends.judged import BROKE_OFF, FailureOf, JudgedStream

READABLE = ("gzip", "x-gzip", "deflate")
_GZIP_OR_ZLIB = 47  # both headers, the largest window
_MOST_AT_ONCE = 256 * 1024


class UnpackedAnswer:
    """An upstream's compressed answer. `piece` returns unpacked bytes; `taken` the packed bytes they came from."""

    def __init__(self, answer: UpstreamAnswer, most_bytes: int) -> None:
        """`most_bytes`: the largest unpacked size, since a few megabytes can unpack to gigabytes."""
        self._answer = answer
        self._room = most_bytes
        self._unpack = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
        self._packed: list[bytes] = []
        self._tail = b""

    async def piece(self) -> bytes:
        """The next unpacked piece; b"" at the end.

        Raises `Broken` for bytes that cannot be unpacked, and `TooLong` beyond `most_bytes`.
        """
        while self._tail or (packed := await self._next()):
            plain = self._plain(self._tail or packed)
            if plain:
                return plain
        return b""

    def taken(self) -> bytes:
        """The packed bytes that arrived since the last call."""
        packed = b"".join(self._packed)
        self._packed.clear()
        return packed

    def close(self) -> None:
        self._answer.close()

    async def _next(self) -> bytes:
        packed = await self._answer.piece()
        if packed:
            self._packed.append(packed)
        return packed

    def _plain(self, packed: bytes) -> bytes:
        try:
            plain = self._unpack.decompress(packed, _MOST_AT_ONCE)
        except zlib.error as error:
            raise Broken(f"cannot be unpacked: {error}") from error
        self._tail = self._unpack.unconsumed_tail
        self._room -= len(plain)
        if self._room < 0:
            raise TooLong
        return plain


class PackedStream:
    """The pieces of a compressed stream. `judged` reads the same answer unpacked."""

    def __init__(self, answer: UnpackedAnswer, judged: JudgedStream) -> None:
        self._answer = answer
        self._judged = judged
        self._error: Exception | None = None

    def __aiter__(self) -> "PackedStream":
        return self

    async def __anext__(self) -> bytes:
        piece = b""
        while not piece:
            if self._error is not None:
                raise self._error
            try:
                await anext(self._judged)
            except Exception as error:  # raised after the bytes that came before it are passed on
                self._error = error
            piece = self._answer.taken()
        return piece

    async def aclose(self) -> None:
        await self._judged.aclose()


class UnreadableStream:
    """A stream in an encoding that was not requested. It cannot be read here, so its end is not checked."""

    def __init__(self, first: bytes, answer: UpstreamAnswer, failure: FailureOf) -> None:
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
