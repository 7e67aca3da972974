"""Compressed request bodies are read within the limit, for every coding and however the bytes are cut."""

import asyncio
import gzip
import zlib
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadRequest, BodyTooLarge, EncodingNotRead
from gateway.server.packed_body import MOST_MEMBERS, unpacked, unpacking

LIMIT = 1_000_000


def bare(raw: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(raw) + packer.flush()


def streamed(raw: bytes) -> bytes:
    """zstd without the size in its head, as a client that streams writes it."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(raw) + packer.flush()


PACK = {
    "gzip": [gzip.compress, lambda raw: gzip.compress(raw[:9]) + gzip.compress(raw[9:])],
    "deflate": [zlib.compress, bare],
    "zstd": [zstandard.ZstdCompressor().compress, streamed, lambda raw: streamed(raw[:9]) + streamed(raw[9:])],
}
WAYS = [(coding, pack) for coding, packs in PACK.items() for pack in packs]


async def read(raw: bytes, codings: bytes, cut: int = 0, limit: int = LIMIT) -> bytes:
    messages: list[Any] = [
        {"type": "http.request", "body": raw[:cut], "more_body": True},
        {"type": "http.request", "body": raw[cut:], "more_body": False},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    scope: Any = {"type": "http", "headers": [(b"content-encoding", codings), (b"content-length", b"9")]}
    inner, unpacked_receive = unpacking(scope, receive, limit)
    assert inner["headers"] == []
    message: Any = await unpacked_receive()
    assert message["more_body"] is False
    return bytes(message["body"])


@settings(max_examples=20)
@given(raw=st.binary(max_size=3000), cut=st.integers(0, 3000))
@pytest.mark.parametrize(("coding", "pack"), WAYS)
def test_what_was_packed_comes_back_whole(coding: str, pack: Any, raw: bytes, cut: int) -> None:
    assert asyncio.run(read(pack(raw), coding.encode(), cut)) == raw


async def test_codings_are_undone_in_their_order() -> None:
    packed = zstandard.ZstdCompressor().compress(gzip.compress(b"a" * 50))
    assert await read(packed, b"gzip, zstd") == b"a" * 50
    assert await read(gzip.compress(b"a"), b"Identity, GZIP") == b"a"


@pytest.mark.parametrize("coding", [b"br", b"compress", b"gzip, br", b"gzip, gzip, gzip"])
async def test_other_codings_are_a_415(coding: bytes) -> None:
    with pytest.raises(EncodingNotRead) as refused:
        await read(b"x", coding)
    assert refused.value.status == 415


@pytest.mark.parametrize(("coding", "pack"), WAYS)
async def test_a_bomb_is_refused_before_it_goes_off(coding: str, pack: Any) -> None:
    with pytest.raises(BodyTooLarge):
        await read(pack(bytes(300 * LIMIT)), coding.encode())


@pytest.mark.parametrize(("coding", "pack"), WAYS)
@pytest.mark.parametrize("cut", [1, 8])
async def test_what_is_cut_short_or_no_such_data_is_a_400(coding: str, pack: Any, cut: int) -> None:
    for raw in (pack(b"some text that is packed" * 20)[:-cut], b'{"model": "m"}'):
        with pytest.raises(BadRequest):
            unpacked(raw, [coding], LIMIT)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)])
def test_a_body_of_countless_members_is_refused_and_one_of_many_is_read(coding: str, pack: Any) -> None:
    assert unpacked(pack(b"a") * MOST_MEMBERS, [coding], LIMIT) == b"a" * MOST_MEMBERS
    with pytest.raises(BadRequest, match="parts"):
        unpacked(pack(b"") * (MOST_MEMBERS + 1), [coding], LIMIT)
