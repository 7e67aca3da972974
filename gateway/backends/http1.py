"""One HTTP/1.1 connection to an upstream server. It sends POST requests, and returns the head of each answer and then
the pieces of the body.

A gateway passes answers on unchanged, so this module does without redirects, cookies, decompression and proxies.
httptools (llhttp) parses the answers. General HTTP clients take two to five times as much CPU time as this module;
`docs/benchmarks.md` has the figures. `connection_pool.py` pools the connections.
"""

import asyncio
import select
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

import httptools
from msgspec import Struct

HEAD_LIMIT = 64 * 1024
HEAD_TOO_LARGE = f"its head is larger than {HEAD_LIMIT // 1024} kB"
FRAMING = (b"content-length", b"transfer-encoding")
# reading from the upstream pauses while more bytes than this wait for a slow client
HIGH_WATER = 256 * 1024


class UpstreamFault(Exception):
    """The reason why an answer is missing or incomplete. The error's text never contains the upstream's address."""


class Unreachable(UpstreamFault):
    """No connection could be opened, or the connection broke before the whole request was written. The upstream cannot
    have acted on the request.
    """


class AllInUse(UpstreamFault):
    """No connection became free in time. The request was not sent."""


class Broken(UpstreamFault):
    """The answer was cut off, or is not HTTP."""


class Unanswered(Broken):
    """The whole request was written, and the connection closed before any answer. The upstream may have acted on the
    request.
    """


class Empty(UpstreamFault):
    """The answer is complete and empty."""


class Idle(UpstreamFault):
    """The upstream sent nothing for too long."""


class Overdue(UpstreamFault):
    """The whole answer took too long."""


class TooLong(UpstreamFault):
    """The answer is larger than its limit."""


class AnswerBounds(Struct, frozen=True):
    """The limits on the time and the size of one answer."""

    idle_s: float
    """The maximum time to wait for the next byte."""
    total_s: float
    """The maximum time from the request to the answer's last byte."""
    most_bytes: int
    """The maximum size of head and body together, in bytes as received."""


class Connection(asyncio.Protocol):
    """A connection, which handles one exchange at a time. `on_stray` is called for bytes that belong to no request."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bounds: AnswerBounds, on_stray: Callable[[], None]) -> None:
        self._loop = loop
        self._bounds = bounds
        self._on_stray = on_stray
        self._transport: Any = None
        self._parser: Any = None
        self._unread: Callable[[], bool] = lambda: False
        self._writing = False
        self.closed = False
        self.rested_at = 0.0
        self._resting = True
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self._size = self._head_size = 0
        self._keeps = False
        self._error: UpstreamFault | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._began_at = self._heard_at = monotonic()

    async def post(self, head: bytes, body: bytes) -> None:
        """Send a request and wait for the head of its answer. Sets `status` and `headers`."""
        self._reset()
        self._resting = False
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._transport.write(head + body)
        while not self.status and self._error is None:
            await self._wait()
        if self._error is not None:
            raise self._error

    async def piece(self) -> bytes:
        """Return the bytes of the body that arrived since the last call, unchanged, or b"" at the end."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._wait()
        # joining is cheaper than passing on several pieces
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self._heard_at = monotonic()
            self._transport.resume_reading()
        return piece

    @property
    def drained(self) -> bool:
        """Whether the answer is complete and read to its end."""
        return self.complete and not self._pieces

    @property
    def reusable(self) -> bool:
        return self.complete and not self.closed and self._error is None and self._keeps and not self._writing

    @property
    def broken(self) -> bool:
        """Whether the answer broke off, or is not HTTP."""
        return isinstance(self._error, Broken)

    def rest(self) -> None:
        """End the exchange. The connection is then idle."""
        self.rested_at = monotonic()
        self._resting = True

    def quiet(self) -> bool:
        """Whether an idle connection can be reused. The connection must be open, without unread bytes, and the server
        must not have closed it.

        The kernel is asked, since the event loop may not have read from the socket yet. This takes a microsecond.
        """
        return not self.closed and not self._unread()

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def look(self, now: float) -> None:
        """Fail the exchange if the answer takes too long, or if no byte has arrived for too long.

        While reading is paused for a slow client, missing bytes are not a failure.
        """
        if self.complete:
            return
        if now - self._began_at >= self._bounds.total_s:
            self._fail(Overdue())
        elif not self._paused and now - self._heard_at >= self._bounds.idle_s:
            self._fail(Idle())

    def _fail(self, error: UpstreamFault) -> None:
        if self._error is None and not self.complete:
            self._error = error
        self.close()
        self._wake()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        # asyncio then calls `pause_writing` whenever a part of a request is unsent
        self._transport.set_write_buffer_limits(high=0)
        socket = transport.get_extra_info("socket")
        if socket is not None:
            self._unread = _unread_check(socket.fileno())

    def pause_writing(self) -> None:
        self._writing = True

    def resume_writing(self) -> None:
        self._writing = False

    def data_received(self, data: bytes) -> None:
        if self._resting or self.complete:
            self.close()  # these bytes belong to no request, and must not answer the next one
            self._on_stray()
            return
        self._heard_at = monotonic()
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(Broken(f"not HTTP: {error}"))
            return
        if not self.status and self._size > HEAD_LIMIT:
            self._fail(Broken(HEAD_TOO_LARGE))
        elif self._size > self._bounds.most_bytes and not self.complete:
            self._fail(TooLong())
        elif self._held > HIGH_WATER and not self._paused and not self.complete:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.status and exc is None and not any(name in FRAMING for name, _ in self.headers):
            self.complete = True  # a body without a length ends with its connection
        elif not self.complete:
            self._error = self._error or self._loss()
        self._wake()

    def _loss(self) -> UpstreamFault:
        if self._size:
            return Broken("the connection closed in the middle")
        return Unreachable("closed before the request was written") if self._writing else Unanswered("closed")

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if self.complete:
            self._keeps = False
            self._on_stray()
            raise httptools.HttpParserError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status:
            return  # a trailer, not a header
        self._head_size += len(name) + len(value)
        if self._head_size > HEAD_LIMIT:
            raise httptools.HttpParserError(HEAD_TOO_LARGE)
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
        else:
            self.headers.clear()  # 100 Continue and 103 Early Hints come before the real answer

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._held += len(body)

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True
            # read now: the parser forgets the message's length afterwards
            self._keeps = self._parser.should_keep_alive()


def _unread_check(descriptor: int) -> Callable[[], bool]:
    """Return a function that tells whether the socket has unread bytes or was closed by the other side."""
    if not hasattr(select, "poll"):  # Windows, where `select` accepts any descriptor
        return lambda: bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda: bool(poll.poll(0))
