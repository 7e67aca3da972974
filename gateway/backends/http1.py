"""An HTTP/1.1 client for one upstream: posts bytes, hands back the head and then the body's pieces.

It does nothing but that: no redirects, cookies, decompression or proxies, none of which a gateway
may do on its own. The parsing is httptools' (llhttp). General clients cost two to five times the
CPU; `docs/benchmarks.md` has the figures.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable
from time import monotonic
from typing import Any

import httptools

KEEP_S = 50.0  # below the usual 60 s after which servers close an idle connection
HEAD_LIMIT = 64 * 1024
SWEEP_S = 1.0  # so much later than its time may the end of a silence be seen
FRAMING = (b"content-length", b"transfer-encoding")
# bytes that may wait for a slow client before the upstream is told to wait
HIGH_WATER = 256 * 1024


class Unreachable(Exception):
    """No connection, or it went away before a single byte of an answer: asking again is safe."""


class Broken(Exception):
    """The answer ended before its end, or is not HTTP."""


class Idle(Exception):
    """Nothing came for too long."""


class Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, idle_s: float) -> None:
        self._loop = loop
        self._idle_s = idle_s
        self._transport: Any = None
        self._parser: Any = None
        self.closed = False
        self.rested_at = 0.0
        self.fresh = True
        """Whether it has not answered anything yet."""
        self._resting = True
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self._head_size = 0
        self._keeps = False
        self._answering = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._heard_at = 0.0

    async def post(self, head: bytes, body: bytes) -> None:
        """Send a request and wait for the head of its answer: then `status` and `headers` are set."""
        self._reset()
        self._resting = False
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._heard_at = monotonic()
        self._transport.write(head + body)
        while not self.status and self._error is None:
            await self._wait()
        if self._error is not None:
            raise self._error

    async def piece(self) -> bytes:
        """What has come of the body since the last time, as it came off the wire; b"" at its end."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._wait()
        # all that is here goes on in one send: handing over costs more than carrying
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self._heard_at = monotonic()
            self._transport.resume_reading()
        return piece

    @property
    def reusable(self) -> bool:
        return self.complete and not self.closed and self._error is None and self._keeps

    def rest(self) -> None:
        """The exchange is over; the connection waits for the next one."""
        self.rested_at = monotonic()
        self.fresh = False
        self._resting = True

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
        """Fail if nothing came for too long. Who reads slowly is waited for."""
        if not self._paused and not self.complete and now - self._heard_at >= self._idle_s:
            self._fail(Idle())

    def _fail(self, error: Exception) -> None:
        if self._error is None and not self.complete:
            self._error = error
        self.close()
        self._wake()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._resting or self.complete:
            self.close()  # nobody asked for this: whatever it is, it must not be taken for the next answer
            return
        self._heard_at = monotonic()
        self._answering = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(Broken(f"not HTTP: {error}"))
            return
        if self._held > HIGH_WATER and not self._paused and not self.complete:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.status and exc is None and not any(name in FRAMING for name, _ in self.headers):
            self.complete = True  # a body without a length ends with its connection
        elif not self.complete:
            broken = Broken("the connection closed in the middle") if self._answering else Unreachable("closed")
            self._error = self._error or broken
        self._wake()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if self.complete:
            self._keeps = False
            raise httptools.HttpParserError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status:
            return  # a trailer: it came too late to be a header
        self._head_size += len(name) + len(value)
        if self._head_size > HEAD_LIMIT:
            raise httptools.HttpParserError("the head is too large")
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
        else:
            self.headers.clear()  # 100 Continue, 103 Early Hints: the answer is still to come

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._held += len(body)

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True
            # asked here: the parser forgets the message's length once it is past it
            self._keeps = self._parser.should_keep_alive()


class _Places:
    """So many may be used at once; who comes later waits in turn. A plain number where nobody waits."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place if there is one, which is never while somebody waits."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Wait for a place, and take it."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            # given to one that gave up in the same moment: it goes on to the next
            if turn.done() and not turn.cancelled():
                self.release()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def release(self) -> None:
        """Hand the place to whoever waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class UpstreamAnswer:
    """An answer under way. Its connection goes back to the pool at the end, or is closed before it."""

    def __init__(self, pool: "ConnectionPool", connection: Connection) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self.status = connection.status
        self.headers = connection.headers

    def piece(self) -> Awaitable[bytes]:
        """The next piece of the body, as it came off the wire; b"" at its end."""
        return self._connection.piece() if self._connection is not None else _nothing()

    async def whole(self) -> bytes:
        """All of the body. The answer is over then."""
        connection = self._connection
        assert connection is not None
        try:
            piece = await connection.piece()
            if connection.complete and not connection._pieces:
                return piece
            pieces = [piece]
            while piece := await connection.piece():
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back, or cut it if the answer was not read to its end. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)


class ConnectionPool:
    """Connections to one origin. `base_path` and `headers` are the same for all requests."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        headers: list[tuple[bytes, bytes]],
        connect_timeout_s: float,
        idle_timeout_s: float,
        limit: int,
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._connect_timeout_s = connect_timeout_s
        self._idle_timeout_s = idle_timeout_s
        standard = port == (443 if tls else 80)
        bracketed = f"[{host}]" if ":" in host else host
        authority = bracketed if standard else f"{bracketed}:{port}"
        self._fixed = b"host: " + authority.encode() + b"\r\n" + _lines(headers)
        self._resting: list[Connection] = []
        self._used: set[Connection] = set()
        self._places = _Places(limit)
        self._sweep: asyncio.TimerHandle | None = None

    async def post(self, path: bytes, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> UpstreamAnswer:
        """Send one request. Raises `Unreachable`, `Broken` or `Idle`."""
        head = b"POST %b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n" % (path, self._fixed, _lines(headers), len(body))
        if not self._places.take():
            await self._place()
        try:
            connection = self._rested() or await self._connect()
        except BaseException:
            self._places.release()
            raise
        self._used.add(connection)
        if self._sweep is None:
            self._sweep_later()
        try:
            await connection.post(head, body)
        except Unreachable as error:
            connection.close()
            self.give_back(connection)
            if connection.fresh:  # it took the request, so asking again could do the work twice
                raise Broken("the connection closed without an answer") from error
            raise
        except BaseException:
            connection.close()
            self.give_back(connection)
            raise
        return UpstreamAnswer(self, connection)

    async def _place(self) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._places.wait()
        except TimeoutError as error:
            raise Unreachable("all connections are in use") from error

    def give_back(self, connection: Connection) -> None:
        if connection not in self._used:
            return
        self._used.discard(connection)
        self._places.release()
        if connection.reusable:
            connection.rest()
            self._resting.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in (*self._resting, *self._used):
            connection.close()
        self._resting.clear()

    def _sweep_later(self) -> None:
        # one timer for all that are used, rather than one for each exchange
        pause_s = min(SWEEP_S, self._idle_timeout_s / 4)
        self._sweep = asyncio.get_running_loop().call_later(pause_s, self._look)

    def _look(self) -> None:
        self._sweep = None
        if self._used:
            now = monotonic()
            for connection in tuple(self._used):
                connection.look(now)
            self._sweep_later()

    def _rested(self) -> Connection | None:
        oldest = monotonic() - KEEP_S
        while self._resting:
            connection = self._resting.pop()
            if not connection.closed and connection.rested_at > oldest:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._idle_timeout_s),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
        except TimeoutError as error:
            raise Unreachable("no connection in time") from error
        except OSError as error:
            raise Unreachable(str(error)) from error
        return connection


async def _nothing() -> bytes:
    return b""


def _lines(headers: "list[tuple[bytes, bytes]] | tuple[tuple[bytes, bytes], ...]") -> bytes:
    return b"".join([name + b": " + value + b"\r\n" for name, value in headers])
