"""Compressed streams: unpacked, judged by what is in them, and passed on plain."""

import gzip
import zlib
from collections.abc import Iterable
from typing import Any

import pytest
import zstandard

from gateway.ask import Endpoint
from gateway.backends.http1 import Broken, TooLong
from gateway.backends.judged import JudgedStream
from gateway.backends.packed_stream import UnpackedAnswer
from gateway.errors import BackendFailed, RequestError, StreamFailed
from tests.doubles.scripted_answer import ScriptedAnswer

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
FAULT = b'data: {"error":{"message":"out of memory"}}\n\n'


def packed(*events: bytes, wbits: int = 31) -> list[bytes]:
    """Each event in a piece of its own, as servers that flush send them."""
    packer = zlib.compressobj(wbits=wbits)
    pieces = [packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH) for event in events]
    return [*pieces, packer.flush()]


def failure(error: Exception, what: str, code: str | None = None) -> RequestError:
    return BackendFailed(what, code=code)


async def streamed(pieces: Iterable[bytes], most_bytes: int = 1 << 20, encoding: str = "gzip") -> JudgedStream:
    answer: Any = ScriptedAnswer(pieces)
    unpacked = UnpackedAnswer(answer, encoding, most_bytes)
    judged = JudgedStream(b"", unpacked, Endpoint.CHAT, failure, marked=True)

    async def waits() -> None:
        pass

    await judged.begin(waits, 1.0)
    return judged


EVENTS = (CHUNK, CHUNK * 20_000, DONE)


def zstd(*events: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    flushed = [packer.compress(event) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for event in events]
    return b"".join([*flushed, packer.flush()])


PACKED = {
    "gzip": b"".join(packed(*EVENTS)),
    "gzip members": b"".join(b"".join(packed(event)) for event in EVENTS),
    "zlib": b"".join(packed(*EVENTS, wbits=15)),
    "deflate": b"".join(packed(*EVENTS, wbits=-15)),
    "zstd": zstd(*EVENTS),
    "zstd frames": b"".join(zstd(event) for event in EVENTS),
}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_the_events_are_passed_on_plain(kind: str, size: int) -> None:
    whole = PACKED[kind]
    cut = [whole[at : at + size] for at in range(0, len(whole), size)]

    stream = await streamed(cut, 1 << 24, "zstd" if kind.startswith("zstd") else "gzip")

    assert b"".join([piece async for piece in stream]) == b"".join(EVENTS)


async def test_an_error_ahead_of_the_content_is_raised() -> None:
    with pytest.raises(RequestError, match="out of memory"):
        await streamed(packed(FAULT))


async def test_an_error_after_content_is_passed_on_and_raised_at_the_end() -> None:
    pieces = packed(CHUNK, FAULT)
    stream = await streamed(pieces)
    passed: list[bytes] = []

    with pytest.raises(StreamFailed, match="out of memory"):
        while True:
            passed.append(await anext(stream))
    assert b"".join(passed) == CHUNK + FAULT


async def test_a_stream_that_ends_without_its_end_mark_is_broken() -> None:
    with pytest.raises(BackendFailed, match="without its end mark"):
        _ = [piece async for piece in await streamed(packed(CHUNK))]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_bytes_that_cannot_be_unpacked_are_a_broken_answer(encoding: str) -> None:
    answer: Any = ScriptedAnswer([b"this is no gzip"])

    with pytest.raises(Broken):
        await UnpackedAnswer(answer, encoding, 1 << 20).piece()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_little_that_holds_much_ends_at_the_limit(encoding: str) -> None:
    much = b":" * (1 << 24)
    answer: Any = ScriptedAnswer([zlib.compress(much) if encoding == "gzip" else zstandard.compress(much)])
    unpacked = UnpackedAnswer(answer, encoding, 1 << 20)

    with pytest.raises(TooLong):
        while await unpacked.piece():
            pass


async def test_a_whole_body_is_unpacked_within_its_limit() -> None:
    body = b'{"content":"' + b"x" * 2_000_000 + b'"}'
    packed_body = zlib.compress(body)

    def answer() -> Any:
        return ScriptedAnswer([packed_body[:100], packed_body[100:]])

    assert await UnpackedAnswer(answer(), "deflate", len(body)).whole() == body
    with pytest.raises(TooLong):
        await UnpackedAnswer(answer(), "deflate", len(body) - 1).whole()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_an_answer_of_countless_members_is_broken(encoding: str) -> None:
    empty = gzip.compress(b"") if encoding == "gzip" else zstandard.compress(b"")
    answer: Any = ScriptedAnswer([empty * 5000])

    with pytest.raises(Broken, match="parts"):
        await UnpackedAnswer(answer, encoding, 1 << 20).piece()
