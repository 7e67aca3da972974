"""A streaming client on raw sockets that records when each piece arrives. A client library would hide the pieces."""

import asyncio
import json
import re
import time
from dataclasses import dataclass, field

from harness.peers import Running
from harness.processes import HOST

# the text of a piece from harness/upstream.py is the time at which it was sent
SENT = re.compile(rb'"content":\s*"(\d{9,})')
END = b"0\r\n\r\n"


@dataclass
class Seen:
    """One stream. Times are in microseconds. `delays` are from sending a piece to its arrival."""

    first_byte_us: float = 0.0
    delays: list[float] = field(default_factory=list)
    reads: int = 0
    """How many reads brought pieces. Fewer than the pieces, if some arrived together."""
    late: int = 0
    """How many pieces arrived after the next one had been sent."""


class Reader:
    """A kept-alive connection to a gateway."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def stream(self, pieces: int, every_us: int, timeout_s: float = 60) -> Seen:
        async with asyncio.timeout(timeout_s):
            try:
                return await self._stream(pieces, every_us)
            except ConnectionError:  # the connection was closed while idle: try once more on a new one
                self.close()
                return await self._stream(pieces, every_us)

    async def _stream(self, pieces: int, every_us: int) -> Seen:
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._running.port, limit=1 << 20)
        reader, writer = self._streams
        seen, sent, tail, arrived = Seen(), [], b"", []
        began = time.monotonic_ns()
        writer.write(self._request(pieces, every_us))
        while True:
            data = await reader.read(1 << 16)
            now = time.monotonic_ns()
            if not data:
                self.close()
                if not arrived:
                    raise ConnectionResetError("closed before the first piece")
                break
            tail += data
            found = [int(match.group(1)) for match in SENT.finditer(tail)]
            if found:
                seen.reads += 1
                seen.first_byte_us = seen.first_byte_us or (now - began) / 1000
                sent += found
                arrived += [now] * len(found)
                tail = tail[max(match.end() for match in SENT.finditer(tail)) :]
            elif b" 4" in data[:14] or b" 5" in data[:14]:
                raise RuntimeError(f"refused: {data[:300]!r}")
            if b"[DONE]" in tail and tail.endswith(END):
                break
        seen.delays = [(at - was) / 1000 for at, was in zip(arrived, sent, strict=True)]
        seen.late = sum(at > nxt for at, nxt in zip(arrived, sent[1:], strict=False))
        return seen

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None

    def _request(self, pieces: int, every_us: int) -> bytes:
        body = json.dumps(
            {
                "model": self._running.model,
                "messages": [{"role": "user", "content": "Count."}],
                "stream": True,
                "max_tokens": pieces,
                "seed": every_us,
            }
        ).encode()
        given = {"content-type": "application/json", "accept": "text/event-stream", **self._running.headers}
        lines = [f"POST {self._running.path} HTTP/1.1", f"host: {HOST}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in given.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
