"""What a reply's bytes say: text, finish reason and usage, from a JSON body or a whole SSE stream.

Used after the answer is out, by the drain of the records; nothing here runs on a request's way.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from gateway.ports import Answer
from gateway.wire.responses import read as responses_read


class _CompletionChunk(Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _CompletionChoice(Struct):
    index: int = 0
    message: _CompletionChunk | None = None
    delta: _CompletionChunk | None = None
    text: str | None = None
    finish_reason: str | None = None


class _CompletionUsage(Struct):
    prompt_tokens: int = -1
    completion_tokens: int = -1


class _ReplyBody(Struct):
    choices: list[_CompletionChoice] = []
    usage: _CompletionUsage | None = None


_body = msgspec.json.Decoder(_ReplyBody)


def read_answer(body: bytes, content_type: str, content_encoding: str = "") -> Answer:
    """The first choice's text, or a response's. Bytes that are no such reply (HTML, an embedding) give an empty one."""
    plain = _inflated(body, content_encoding)
    if content_type.startswith("text/event-stream"):
        return _streamed(list(_events(plain)))
    if responses_read.MARK in plain and (response := responses_read.read_body(plain)) is not None:
        return response
    decoded = _try(plain)
    return _joined([decoded] if decoded else [])


def _streamed(events: list[bytes]) -> Answer:
    if events and responses_read.MARK in events[0] and (response := responses_read.read_events(events)) is not None:
        return response
    return _joined(decoded for data in events if (decoded := _try(data)))


def _joined(bodies: Any) -> Answer:
    texts: list[str] = []
    finish = ""
    usage = _CompletionUsage()
    for body in bodies:
        usage = body.usage or usage
        for choice in body.choices:
            if choice.index != 0:
                continue
            piece = choice.message or choice.delta
            texts.append((piece.content if piece else choice.text) or "")
            finish = choice.finish_reason or finish
    return Answer("".join(texts), finish, usage.prompt_tokens, usage.completion_tokens)


def _events(stream: bytes) -> Iterator[bytes]:
    return (line[5:] for line in stream.splitlines() if line.startswith(b"data:"))


def _try(data: bytes) -> _ReplyBody | None:
    try:
        return _body.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _inflated(body: bytes, encoding: str) -> bytes:
    if encoding not in ("gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(wbits=47).decompress(body)
    except zlib.error:
        return b""
