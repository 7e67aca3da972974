"""Decompresses request bodies (`content-encoding`) on every route, up to the allowed size."""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import zstandard
from litestar.types import Receive, Scope

from gateway.errors import BadRequest, BodyTooLarge, EncodingNotRead

AUTO = 47
"""The value of `wbits` with which `zlib` detects gzip and zlib headers."""
MOST_WINDOW = 2**27
"""The largest window of a zstd frame, in bytes. The decoder keeps the window in memory."""
ZSTD_STEP = 1024
"""How many compressed bytes are decompressed in one step. The output of one step is at most 256 blocks of 128 kB."""
GZIP_STEP = 16 * 1024
"""The same for gzip and zlib, whose output is at most 1,032 times as large."""
MOST_CODINGS = 2
MOST_MEMBERS = 10_000
"""A body may consist of several compressed members. A megabyte can hold 50,000 that are empty, each of which takes as
long to begin as a full one.
"""


def unpacking(scope: Scope, receive: Receive, limit: int) -> tuple[Scope, Receive]:
    """Return a scope and a `receive` that deliver the decompressed body.

    `limit` is the largest size of the body in bytes, before and after decompression. The body is read when `receive` is
    first called, after the key was checked. This first call raises `EncodingNotRead`, `BodyTooLarge` or `BadRequest`.
    """
    packed = [value for name, value in scope["headers"] if name == b"content-encoding"]
    if not packed:
        return scope, receive
    codings = [coding.strip().lower().decode("latin-1") for coding in b",".join(packed).split(b",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if not codings:
        return scope, receive
    hidden = (b"content-encoding", b"content-length")
    headers = [pair for pair in scope["headers"] if pair[0] not in hidden]
    return {**scope, "headers": headers}, _UnpackedBody(receive, codings, limit)  # type: ignore[return-value]  # a copy of the same kind


class _UnpackedBody:
    """A `receive` whose first message is the whole decompressed body."""

    def __init__(self, receive: Receive, codings: list[str], limit: int) -> None:
        self._receive = receive
        self._codings = codings
        self._limit = limit
        self._is_read = False

    async def __call__(self) -> Any:
        if self._is_read:
            return await self._receive()
        self._is_read = True
        _check(self._codings)
        pieces: list[bytes] = []
        size, more = 0, True
        while more:
            message: Any = await self._receive()
            if message["type"] == "http.disconnect":
                return message
            pieces.append(message.get("body", b""))
            more, size = message.get("more_body", False), size + len(pieces[-1])
            if size > self._limit:
                raise too_large(self._limit)
        # on a thread, because even a few bytes can decompress to the whole limit
        body = await asyncio.to_thread(unpacked, b"".join(pieces), self._codings, self._limit)
        return {"type": "http.request", "body": body, "more_body": False}


def unpacked(raw: bytes, codings: list[str], limit: int) -> bytes:
    """Decompress a body. `codings` are in the order in which they were applied.

    Raises `EncodingNotRead`, `BodyTooLarge` or `BadRequest`.
    """
    _check(codings)
    for coding in reversed(codings):
        try:
            raw = UNPACK[coding](raw, limit)
        except (zlib.error, zstandard.ZstdError, EOFError) as error:
            what = f"The request body is not valid {coding} data, which its content-encoding announces: {error}"
            raise BadRequest(what, code="invalid_encoding") from None
    return raw


def _check(codings: list[str]) -> None:
    unknown = next((coding for coding in codings if coding not in UNPACK), "")
    if unknown:
        raise EncodingNotRead(
            f"The content-encoding {unknown[:40]!r} of the request body is not supported; "
            "send it as gzip, deflate, zstd, or plain."
        )
    if len(codings) > MOST_CODINGS:
        raise EncodingNotRead(
            f"The request body has {len(codings)} content-encodings; at most {MOST_CODINGS} are supported."
        )


def _gzip(raw: bytes, limit: int) -> bytes:
    return _members(raw, limit, lambda: zlib.decompressobj(AUTO), GZIP_STEP)


def _deflate(raw: bytes, limit: int) -> bytes:
    """Decompress zlib data, which the standard requires, or raw deflate data, which some clients send."""
    try:
        return _gzip(raw, limit)
    except zlib.error:
        bare = zlib.decompressobj(-zlib.MAX_WBITS)
        body = bare.decompress(raw, limit + 1)
    if len(body) > limit:
        raise too_large(limit)
    if not bare.eof:
        raise EOFError("it ends too early")
    return body


def _zstd(raw: bytes, limit: int) -> bytes:
    return _members(
        raw, limit, lambda: zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW).decompressobj(), ZSTD_STEP
    )


def _members(raw: bytes, limit: int, begin: Callable[[], Any], step: int) -> bytes:
    """Decompress one or several members in small steps, so that the output of each step is small, and so is what is
    copied at the end of a member. `begin` returns the decompressor of the next member.
    """
    pieces: list[bytes] = []
    left, count = limit, 0
    member: Any = None
    for start in range(0, len(raw), step):
        piece = raw[start : start + step]
        while piece:
            if member is None or member.eof:
                member, count = begin(), count + 1
                if count > MOST_MEMBERS:
                    raise BadRequest(
                        f"The request body is compressed in more than {MOST_MEMBERS:,} parts. Compress it as a whole.",
                        code="invalid_encoding",
                    )
            pieces.append(member.decompress(piece))
            left -= len(pieces[-1])
            if left < 0:
                raise too_large(limit)
            piece = member.unused_data if member.eof else b""
    if member is not None and not member.eof:
        raise EOFError("it ends too early")
    return b"".join(pieces)


UNPACK: Mapping[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}


def too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than the {limit // (1024 * 1024)} MB that this gateway accepts.")
