"""An upstream that answers each request with the same completion, a fixed time after it has read the request.

Run as a program: `delayed_upstream.py PORT MS`, with `benchmarks/` on the path.
"""

import asyncio
import sys

from harness.nginx import COMPLETION
from harness.processes import HOST

ANSWER = (
    f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(COMPLETION)}\r\n\r\n{COMPLETION}"
).encode()


class Delayed(asyncio.Protocol):
    """One connection. Reads requests by their content-length or in chunks, but does not decode them."""

    delay_s = 0.02

    def __init__(self) -> None:
        self._head, self._left, self._chunked = b"", -1, False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            self._head += data
            head, found, rest = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            lower = head.lower()
            self._chunked = b"transfer-encoding: chunked" in lower
            length = lower.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._head, self._left, data = b"", int(length or 0), rest
        if self._chunked:
            if not data.endswith(b"0\r\n\r\n"):
                return
        else:
            self._left -= len(data)
            if self._left > 0:
                return
        self._left = -1
        asyncio.get_running_loop().call_later(self.delay_s, self._answer)

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ANSWER)


async def main(port: int, delay_ms: float) -> None:
    Delayed.delay_s = delay_ms / 1000
    server = await asyncio.get_running_loop().create_server(Delayed, HOST, port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
