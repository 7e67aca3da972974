"""An upstream that streams `max_tokens` pieces, one every `seed` microseconds.

Both are OpenAI's own parameters, so every gateway passes them on. The text of a piece is the time at which it was sent
(`CLOCK_MONOTONIC`, which all processes of a machine share), so a client can compute how long the piece took. Run as a
program: `upstream.py PORT`.
"""

import asyncio
import json
import sys
import time

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
EVENT = (
    '{"id":"chatcmpl-benchmark","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini",'
    '"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}'
)


class Streaming(asyncio.Protocol):
    """One connection. Reads a request by its content-length, answers, and waits for the next request."""

    def __init__(self) -> None:
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        body = _body(head, rest)
        if body is not None:
            self._buffer = b""
            self._task = asyncio.ensure_future(self._answer(json.loads(body)))

    async def _answer(self, ask: dict[str, int]) -> None:
        pieces, every_s = ask.get("max_tokens") or ask.get("max_completion_tokens") or 1, (ask.get("seed") or 0) / 1e6
        write = self._transport.write if self._transport else _nowhere
        write(HEAD)
        began = time.monotonic()
        for index in range(pieces):
            wait = began + index * every_s - time.monotonic()
            await asyncio.sleep(max(0.0, wait))
            write(_chunk(EVENT % (f'{{"content":"{time.monotonic_ns()} "}}', "null")))
        write(_chunk(EVENT % ("{}", '"stop"')) + _chunk("[DONE]") + b"0\r\n\r\n")


def _body(head: bytes, rest: bytes) -> bytes | None:
    """Return the whole body, or None while it is incomplete."""
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return rest if len(rest) >= int(value) else None
        if name == b"transfer-encoding":
            return _unchunked(rest)
    return b"{}"


def _unchunked(rest: bytes) -> bytes | None:
    body = b""
    while True:
        size, found, rest = rest.partition(b"\r\n")
        if not found:
            return None
        length = int(size, 16)
        if length == 0:
            return body
        if len(rest) < length + 2:
            return None
        body, rest = body + rest[:length], rest[length + 2 :]


def _chunk(data: str) -> bytes:
    event = f"data: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(event), event)


def _nowhere(data: bytes) -> None:
    return None


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Streaming, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
