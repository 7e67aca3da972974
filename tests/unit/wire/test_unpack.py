"""Compressed bodies are read up to a limit."""

import gzip
import zlib

import pytest

from gateway.ports import Answer
from gateway.wire.chat.answer import read_answer
from gateway.wire.unpack import MOST_BYTES, unpacked

BODY = b'{"choices":[{"message":{"content":"Hi"}}]}'
RAW = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (BODY, ""),
        (BODY, "identity"),
        (gzip.compress(BODY, mtime=0), "gzip"),
        (gzip.compress(BODY, mtime=0), " GZIP "),
        (gzip.compress(BODY, mtime=0), "x-gzip"),
        (zlib.compress(BODY), "deflate"),
        (RAW.compress(BODY) + RAW.flush(), "deflate"),
    ],
)
def test_a_compressed_answer_is_read(packed: bytes, encoding: str) -> None:
    assert unpacked(packed, encoding) == BODY
    assert read_answer(packed, "application/json", encoding).text == "Hi"


@pytest.mark.parametrize("encoding", ["br", "gzip", "gzip, br"])
def test_what_cannot_be_unpacked_is_empty(encoding: str) -> None:
    assert unpacked(b"\x00\x01", encoding) == b""
    assert read_answer(b"\x00\x01", "application/json", encoding) == Answer()


def test_a_few_bytes_that_hold_gigabytes_are_unpacked_to_the_limit() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(b"a" * (4 * MOST_BYTES)) + packer.flush()
    assert len(bomb) < 40_000

    assert len(unpacked(bomb, "gzip")) == MOST_BYTES
    assert read_answer(bomb, "application/json", "gzip") == Answer()
