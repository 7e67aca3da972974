"""Ways in which an upstream can misbehave. Each is a function that answers one request on a raw connection.

Every answer carries the request's token, so an answer that reaches the wrong client is noticed.
"""

import asyncio
import gzip
import json
import os
import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple

ANSWER, ERROR = "answer", "error"
EITHER = f"{ANSWER} or {ERROR}"
SILENCE_S = 5.0
JSON, EVENTS = "application/json", "text/event-stream"
USAGE = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}

BOMB = gzip.compress(b": " + b"x" * 20_000_000 + b"\n\n", 1)


def text_of(token: str) -> str:
    return f"The answer to {token} is {token}, as it was to {token} before."


class Wire:
    """A connection to a client that waits for an answer."""

    def __init__(self, writer: asyncio.StreamWriter, token: str, *, stream: bool) -> None:
        self.writer, self.token, self.stream = writer, token, stream
        self.open = True

    async def send(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if pause_s:
                await asyncio.sleep(pause_s)

    def close(self) -> None:
        self.writer.close()
        self.open = False

    def reset(self) -> None:
        self.writer.transport.abort()
        self.open = False

    def whole(self) -> bytes:
        """Return the correct body: a completion, or a stream of events."""
        return b"".join(events(self.token)) if self.stream else completion(self.token)

    def kind(self) -> str:
        return EVENTS if self.stream else JSON


def completion(token: str, **fields: object) -> bytes:
    message = {"role": "assistant", "content": text_of(token)}
    value = {"id": f"c-{token}", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({**value, "choices": [choice], **fields}).encode()


def chunk(token: str, delta: dict[str, object], reason: str | None = None, **fields: object) -> bytes:
    value = {"id": f"c-{token}", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return event(json.dumps({**value, "choices": [choice], **fields}))


def event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def events(token: str, **fields: object) -> list[bytes]:
    words = text_of(token).split(" ")
    pieces = [word if index == 0 else f" {word}" for index, word in enumerate(words)]
    told = [chunk(token, {"content": piece}, **fields) for piece in pieces]
    return [chunk(token, {"role": "assistant"}, **fields), *told, chunk(token, {}, "stop", **fields), event("[DONE]")]


def head(kind: str, length: int | None, *more: str, status: str = "200 OK") -> bytes:
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-type: {kind}", framing, *more, "", ""]).encode()


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


async def plain(wire: Wire) -> None:
    body = wire.whole()
    await wire.send(head(wire.kind(), len(body)) + body)


async def slow_pieces(wire: Wire) -> None:
    body, size = wire.whole(), random.randint(30, 90)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    await wire.send(head(wire.kind(), None), *map(chunked, pieces), LAST, pause_s=0.02)


async def byte_by_byte(wire: Wire) -> None:
    whole = head(wire.kind(), None) + chunked(wire.whole()) + LAST
    await wire.send(*[whole[at : at + 1] for at in range(200)], whole[200:])


async def carriage_returns(wire: Wire) -> None:
    body = b"\xef\xbb\xbf" + (wire.whole().replace(b"\n", b"\r\n") if wire.stream else wire.whole())
    await wire.send(head(wire.kind(), len(body)) + body)


async def comments(wire: Wire) -> None:
    inside = b"".join(b": comment\n\n" + one + b"data:\n\n" for one in events(wire.token))
    body = inside if wire.stream else b"\n  \n" + wire.whole()
    await wire.send(head(wire.kind(), len(body)) + body)


async def only_comments(wire: Wire) -> None:
    await wire.send(head(EVENTS, None))
    for _ in range(int(SILENCE_S * 2)):
        await wire.send(chunked(b": still here\n\n"), pause_s=0.5)
    await wire.send(LAST)


async def informed(wire: Wire) -> None:
    body = wire.whole()
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    await wire.send(hints, head(wire.kind(), len(body)) + body)


async def other_kind(wire: Wire) -> None:
    body = wire.whole()
    await wire.send(head("Text/Plain; charset=utf-8", len(body)) + body)


async def json_for_stream(wire: Wire) -> None:
    body = completion(wire.token)
    await wire.send(head(JSON, len(body)) + body)


async def odd_fields(wire: Wire) -> None:
    odd: dict[str, object] = {"usage": None, "created": "yesterday", "system_fingerprint": 7, "x": [{}]}
    body = b"".join(events(wire.token, **odd)) if wire.stream else completion(wire.token, **odd)
    await wire.send(head(wire.kind(), len(body)) + body)


async def content_parts(wire: Wire) -> None:
    parts = [{"type": "text", "text": text_of(wire.token)}]
    choice = {"index": 0, "message": {"role": "assistant", "content": parts}, "finish_reason": "stop"}
    body = completion(wire.token, choices=[choice])
    await wire.send(head(JSON, len(body)) + body)


async def closes_after(wire: Wire) -> None:
    await plain(wire)
    wire.close()


async def no_length(wire: Wire) -> None:
    await wire.send(f"HTTP/1.1 200 OK\r\ncontent-type: {wire.kind()}\r\n\r\n".encode() + wire.whole())
    wire.close()


async def answers_twice(wire: Wire) -> None:
    await plain(wire)
    await plain(wire)


async def answers_twice_late(wire: Wire) -> None:
    await plain(wire)
    await asyncio.sleep(random.choice([0.001, 0.02, 0.3]))
    wire.token = f"late-{wire.token}"
    await plain(wire)


async def too_short_a_length(wire: Wire) -> None:
    body = wire.whole()
    await wire.send(head(wire.kind(), len(body) - 40) + body)


async def too_long_a_length(wire: Wire) -> None:
    body = wire.whole()
    await wire.send(head(wire.kind(), len(body) + 40) + body)
    wire.close()


async def bad_chunk(wire: Wire) -> None:
    await wire.send(head(wire.kind(), None) + chunked(wire.whole()[:200]) + b"zz\r\n" + wire.whole()[200:])
    wire.close()


async def cut(wire: Wire) -> None:
    body = wire.whole()
    await wire.send(head(wire.kind(), None) + chunked(body[: random.randint(1, len(body) - 30)]))
    wire.close()


async def ends_early(wire: Wire) -> None:
    body = wire.whole()
    whole = body[: -len(event("[DONE]"))] if wire.stream else body[:-9]
    await wire.send(head(wire.kind(), None) + chunked(whole) + LAST)


async def reset_inside(wire: Wire) -> None:
    await wire.send(head(wire.kind(), 5000) + wire.whole()[: random.randint(1, 300)])
    await asyncio.sleep(0.01)
    wire.reset()


async def reset_at_once(wire: Wire) -> None:
    wire.reset()


async def closed_at_once(wire: Wire) -> None:
    wire.close()


async def silent(wire: Wire) -> None:
    await asyncio.sleep(SILENCE_S)
    wire.reset()


async def silent_inside(wire: Wire) -> None:
    await wire.send(head(wire.kind(), 5000) + wire.whole()[:300])
    await silent(wire)


async def error_in_200(wire: Wire) -> None:
    error = json.dumps({"error": {"message": f"overloaded ({wire.token})", "code": 529}})
    body = event(error) if wire.stream else error.encode()
    await wire.send(head(wire.kind(), len(body)) + body)


async def error_inside(wire: Wire) -> None:
    error = event(json.dumps({"error": {"message": f"overloaded ({wire.token})"}}))
    body = b"".join(events(wire.token)[:4]) + error + event("[DONE]")
    await wire.send(head(EVENTS, len(body)) + body)


async def error_after_role(wire: Wire) -> None:
    body = events(wire.token)[0] + event('{"error": "out of memory"}')
    await wire.send(head(EVENTS, len(body)) + body)


async def only_done(wire: Wire) -> None:
    body = event("[DONE]") if wire.stream else b"{}"
    await wire.send(head(wire.kind(), len(body)) + body)


async def empty(wire: Wire) -> None:
    await wire.send(head(wire.kind(), 0))


async def page(wire: Wire) -> None:
    body = b"<!doctype html><h1>It works</h1>" * 50
    await wire.send(head("text/html", len(body)) + body)


async def not_json(wire: Wire) -> None:
    body = b'{"id": "c", "choices": [{"index": 0, "mess'
    await wire.send(head(JSON, len(body)) + body)


async def not_http(wire: Wire) -> None:
    await wire.send(b"SSH-2.0-OpenSSH_9.2\r\n" + os.urandom(200))
    wire.close()


async def refused(wire: Wire) -> None:
    status = random.choice(["429 Slow Down", "500 Oops", "503 Busy", "529 Overloaded", "400 Bad", "413 Big"])
    body = random.choice([b'{"error": {"message": "no"}}', b"no", b"", b'{"error": "no"}', b'{"detail": [1]}'])
    await wire.send(head(JSON, len(body), "retry-after: 1", status=status) + body)


async def redirect(wire: Wire) -> None:
    await wire.send(head(JSON, 0, "location: http://127.0.0.1:1/", status="307 Elsewhere"))


async def huge(wire: Wire) -> None:
    """Send three times the largest allowed answer."""
    await wire.send(head(wire.kind(), None))
    for _ in range(48):
        await wire.send(chunked((b": " if wire.stream else b" ") + b"x" * 65536 + b"\n\n"))
    await wire.send(chunked(wire.whole()), LAST)


async def huge_head(wire: Wire) -> None:
    body = wire.whole()
    await wire.send(head(wire.kind(), len(body), "x-large: " + "x" * 100_000) + body)


async def packed(wire: Wire) -> None:
    body = gzip.compress(wire.whole())
    await wire.send(head(wire.kind(), len(body), "content-encoding: gzip") + body)


async def packed_garbage(wire: Wire) -> None:
    body = gzip.compress(wire.whole())[:20] + os.urandom(200)
    await wire.send(head(wire.kind(), len(body), "content-encoding: gzip") + body)


async def packed_bomb(wire: Wire) -> None:
    await wire.send(head(wire.kind(), len(BOMB), "content-encoding: gzip") + BOMB)


class Lie(NamedTuple):
    """How to answer, and what the client must get without and with `stream`. "" means that this form is not sent."""

    answer: Callable[[Wire], Awaitable[None]]
    whole: str
    stream: str


LIES = {
    lie.answer.__name__.replace("_", "-"): lie
    for lie in (
        Lie(plain, ANSWER, ANSWER),
        Lie(slow_pieces, ANSWER, ANSWER),
        Lie(byte_by_byte, ANSWER, ANSWER),
        Lie(carriage_returns, ANSWER, ANSWER),
        Lie(comments, ANSWER, ANSWER),
        Lie(informed, ANSWER, ANSWER),
        Lie(other_kind, ANSWER, ANSWER),
        Lie(json_for_stream, "", ANSWER),
        Lie(odd_fields, ANSWER, ANSWER),
        Lie(content_parts, ANSWER, ANSWER),
        Lie(closes_after, ANSWER, ANSWER),
        Lie(no_length, ANSWER, ANSWER),
        Lie(answers_twice, EITHER, EITHER),
        Lie(answers_twice_late, ANSWER, ANSWER),
        Lie(packed, ANSWER, ANSWER),
        Lie(too_short_a_length, ERROR, ERROR),
        Lie(too_long_a_length, ERROR, EITHER),
        Lie(bad_chunk, ERROR, ERROR),
        Lie(cut, ERROR, ERROR),
        Lie(ends_early, ERROR, ERROR),
        Lie(reset_inside, ERROR, ERROR),
        Lie(reset_at_once, ERROR, ERROR),
        Lie(closed_at_once, ERROR, ERROR),
        Lie(silent, ERROR, ERROR),
        Lie(silent_inside, ERROR, ERROR),
        Lie(only_comments, "", ERROR),
        Lie(error_in_200, ERROR, ERROR),
        Lie(error_inside, "", ERROR),
        Lie(error_after_role, "", ERROR),
        Lie(only_done, "", ERROR),
        Lie(empty, ERROR, ERROR),
        Lie(page, ERROR, ERROR),
        Lie(not_json, ERROR, ERROR),
        Lie(not_http, ERROR, ERROR),
        Lie(refused, ERROR, ERROR),
        Lie(redirect, ERROR, ERROR),
        Lie(huge, ERROR, ERROR),
        Lie(huge_head, ERROR, ERROR),
        Lie(packed_garbage, ERROR, ERROR),
        Lie(packed_bomb, ERROR, ERROR),
    )
}
