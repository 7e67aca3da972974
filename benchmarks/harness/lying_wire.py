"""The connection on which an upstream misbehaves, and the right answers that it takes apart."""

import asyncio
import json
from typing import Any

JSON, EVENTS = "application/json", "text/event-stream"
USAGE = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}


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


def chunk(token: str, delta: dict[str, object], reason: str | None = None, **fields: Any) -> bytes:
    value = {"id": f"c-{token}", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return event(json.dumps({**value, "choices": [choice], **fields}))


def event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def events(token: str, **fields: Any) -> list[bytes]:
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
