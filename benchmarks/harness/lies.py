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

from harness.lying_wire import EVENTS, JSON, LAST, Wire, chunked, completion, event, events, head, text_of

ANSWER, ERROR = "answer", "error"
EITHER = f"{ANSWER} or {ERROR}"
SILENCE_S = 5.0
BOMB = gzip.compress(b": " + b"x" * 20_000_000 + b"\n\n", 1)


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


async def unasked_trailers(wire: Wire) -> None:
    more = b"0\r\nx-checksum: 0\r\nset-cookie: a=b\r\n\r\n"
    await wire.send(head(wire.kind(), None, "trailer: x-checksum") + chunked(wire.whole()) + more)


async def chunk_extensions(wire: Wire) -> None:
    body, size = wire.whole(), 50
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    extended = [b'%X;name="a;b"\r\n%b\r\n' % (len(piece), piece) for piece in pieces]
    await wire.send(head(wire.kind(), None), *extended, LAST)


async def lower_case_head(wire: Wire) -> None:
    """Send header names in odd cases, folded spaces around values, and the same header many times."""
    body = wire.whole()
    lines = [f"CoNtEnT-tYpE: \t {wire.kind()} \t", f"CONTENT-LENGTH:{len(body)}", *["x-same: 1"] * 40]
    await wire.send("\r\n".join(["HTTP/1.1 200", *lines, "", ""]).encode() + body)


async def two_lengths(wire: Wire) -> None:
    """Send two content-lengths that differ, as a smuggled answer has."""
    body = wire.whole()
    await wire.send(head(wire.kind(), len(body), f"content-length: {len(body) - 30}") + body)
    wire.close()


async def length_and_chunks(wire: Wire) -> None:
    body = wire.whole()
    await wire.send(head(wire.kind(), None, "content-length: 7") + chunked(body) + LAST)
    wire.close()


async def endless_line(wire: Wire) -> None:
    """Send one event that never ends, a piece at a time."""
    await wire.send(head(wire.kind(), None), chunked(b'data: {"x": "' if wire.stream else b'{"x": "'))
    for _ in range(48):
        await wire.send(chunked(b"x" * 65536))
    await wire.send(LAST)


async def deep_json(wire: Wire) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    body = b"data: " + deep + b"\n\n" if wire.stream else deep
    await wire.send(head(wire.kind(), len(body)) + body)


async def not_utf8(wire: Wire) -> None:
    body = b"".join(events(wire.token)[:2]) if wire.stream else completion(wire.token)[:60]
    more = b'data: {"choices": [{"delta": {"content": "\xff\xfe\xc3"}}]}\n\n' if wire.stream else b'\xff\xfe"}'
    await wire.send(head(wire.kind(), len(body + more)) + body + more)


async def only_hints(wire: Wire) -> None:
    """Send interim answers for ever, and never an answer."""
    for _ in range(int(SILENCE_S * 20)):
        await wire.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", pause_s=0.05)
    wire.close()


async def no_content(wire: Wire) -> None:
    status = random.choice(["204 No Content", "304 Not Modified", "206 Partial Content"])
    await wire.send(head(JSON, 0, status=status))


async def drips(wire: Wire) -> None:
    """Send a byte now and then, so that no pause is long, and the whole takes far too long."""
    whole = head(wire.kind(), None) + chunked(wire.whole()) + LAST
    for at in range(int(SILENCE_S * 3)):
        await wire.send(whole[at : at + 1], pause_s=1.0)
    wire.close()


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
        Lie(unasked_trailers, ANSWER, ANSWER),
        Lie(chunk_extensions, ANSWER, ANSWER),
        Lie(lower_case_head, ANSWER, ANSWER),
        Lie(two_lengths, ERROR, ERROR),
        Lie(length_and_chunks, EITHER, EITHER),
        Lie(endless_line, ERROR, ERROR),
        Lie(deep_json, ERROR, ERROR),
        Lie(not_utf8, ERROR, ERROR),
        Lie(only_hints, ERROR, ERROR),
        Lie(no_content, ERROR, ERROR),
        Lie(drips, ERROR, ERROR),
    )
}
