"""Pools the connections to one upstream server. Idle connections are kept for later requests."""

import asyncio
import socket
import ssl
import sys
from collections import deque
from collections.abc import Awaitable
from time import monotonic

from gateway.backends.calling.retry import is_failure
from gateway.backends.calling.trust import Trust
from gateway.backends.http1 import AllInUse, AnswerBounds, Broken, Connection, Unreachable
from gateway.backends.tunnel import Proxy, ProxyRefused, open_tunnel

KEEP_S = 50.0  # below 60 s, after which most servers close an idle connection
SETTLE_S = 0.005
"""A connection that was idle for less than this time is reused only if the pool is full.

A faulty server may answer a request twice, within milliseconds. If the connection were in use again by then, the second
answer would be taken for the answer to the next request.
"""
LIMITED = 429
PROXY_CREDENTIALS = 407
SWEEP_S = 1.0  # a timeout is noticed at most this late


class _Places:
    """A semaphore that serves waiters in order. If nobody waits, it is a plain counter."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def take(self) -> bool:
        """Take a place if one is free, and return whether a place was taken. No place is free while others wait."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            # the wait was cancelled just after it had got a place, so the next waiter gets the place
            if turn.done() and not turn.cancelled():
                self.release()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def release(self) -> None:
        """Give the place to the first waiter, or mark it as free."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class UpstreamAnswer:
    """An answer that is being received. `close` returns the connection to the pool, or closes it if the answer is
    incomplete.
    """

    def __init__(self, pool: "ConnectionPool", connection: Connection) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self.status = connection.status
        self.headers = connection.headers

    def piece(self) -> Awaitable[bytes]:
        """Return the next piece of the body, unchanged, or b"" at the end."""
        return self._connection.piece() if self._connection is not None else _nothing()

    async def whole(self) -> bytes:
        """Read the whole body and close the answer."""
        connection = self._connection
        assert connection is not None
        try:
            piece = await connection.piece()
            if connection.drained:
                return piece
            pieces = [piece]
            while piece := await connection.piece():
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            self.close()

    def close(self) -> None:
        """Return the connection to the pool, or close it if the answer was not read to its end. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)


class ConnectionPool:
    """Connections to one origin. `headers` are sent with every request.

    `limit` is the maximum number of connections. If all are in use, at most `waiting` requests wait for one.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None = None,
        headers: list[tuple[bytes, bytes]],
        connect_timeout_s: float,
        bounds: AnswerBounds,
        limit: int,
        waiting: int = sys.maxsize,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._host, self._port, self._tls, self._proxy = host, port, tls, proxy
        self._connect_timeout_s = connect_timeout_s
        self._bounds = bounds
        self._limit = limit
        self._most_waiting = waiting
        self._settle_s = settle_s
        standard = port == (443 if tls else 80)
        bracketed = f"[{host}]" if ":" in host else host
        authority = bracketed if standard else f"{bracketed}:{port}"
        # without TLS, a proxy reads the requests itself, and needs whole URLs and its own credentials
        plain_proxy = proxy if tls is None else None
        self._start = b"http://" + authority.encode() if plain_proxy else b""
        own = plain_proxy.headers if plain_proxy else []
        self._fixed = b"host: " + authority.encode() + b"\r\n" + _lines([*headers, *own])
        self._settling: deque[Connection] = deque()
        """Connections that were idle for less than `settle_s` at the last check. The connection that has been idle
        longest comes first.
        """
        self._settled: deque[Connection] = deque()
        self._used: set[Connection] = set()
        self._places = _Places(limit)
        self._trust = Trust()
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def taken(self) -> int:
        """The number of requests that have a connection or wait for one."""
        return len(self._used) + self._places.waiting

    async def post(self, path: bytes, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> UpstreamAnswer:
        """Send one request. Raises an `UpstreamFault` if no answer begins. After `Unreachable` or `AllInUse` the
        request may be sent again, but not after any other fault.
        """
        lines = _lines(headers)
        head = b"POST %b%b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n" % (
            self._start,
            path,
            self._fixed,
            lines,
            len(body),
        )
        return await self._send(head, body)

    async def get(self, path: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> UpstreamAnswer:
        """Do as `post` does, without a body."""
        head = b"GET %b%b HTTP/1.1\r\n%b%b\r\n" % (self._start, path, self._fixed, _lines(headers))
        return await self._send(head, b"")

    async def _send(self, head: bytes, body: bytes) -> UpstreamAnswer:
        if not self._places.take():
            await self._place()
        connection = idle = self._rested()
        try:
            if connection is None:
                connection = await self._connect()
            self._used.add(connection)
            if self._sweep is None:
                self._sweep_later()
            await connection.post(head, body)
            if self._start and connection.status == PROXY_CREDENTIALS:
                raise Unreachable("its proxy refuses the connection (status 407)")
        except BaseException as error:
            self._drop(connection)
            if isinstance(error, Broken | Unreachable):
                self._forget()  # the other connections have probably failed too
            if idle is None or not isinstance(error, Unreachable):
                raise
            return await self._send(head, body)
        return UpstreamAnswer(self, connection)

    def _drop(self, connection: Connection | None) -> None:
        if connection is not None:
            self._used.discard(connection)
            connection.close()
        self._places.release()

    async def _place(self) -> None:
        if self._places.waiting >= self._most_waiting:
            raise AllInUse
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._places.wait()
        except TimeoutError as error:
            raise AllInUse from error

    def give_back(self, connection: Connection) -> None:
        if connection not in self._used:
            return
        self._used.discard(connection)
        self._places.release()
        failed = connection.broken or _is_sick(connection.status)
        if failed:
            self._forget()  # the second try opens a new connection, which may reach another server
        if failed or not connection.reusable or self._trust.lost:
            connection.close()
            return
        connection.rest()
        self._settling.append(connection)

    def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._forget()
        for connection in self._used:
            connection.close()

    def _rested(self) -> Connection | None:
        """Return the most recently used connection that has been idle for at least `settle_s`, or None if there is
        none.

        If the pool is full, return a connection that has been idle for a shorter time instead of None.
        """
        now = monotonic()
        settling, settled = self._settling, self._settled
        while settling and settling[0].rested_at <= now - self._settle_s:
            settled.append(settling.popleft())
        while settled:
            connection = settled.pop()
            if connection.rested_at > now - KEEP_S and connection.quiet():
                return connection
            connection.close()
        while settling and len(self._used) + len(settling) >= self._limit:
            connection = settling.popleft()
            if connection.quiet():
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await self._open()
        except TimeoutError as error:
            raise Unreachable("no connection in time") from error
        except OSError as error:
            raise Unreachable(_kind_of(error)) from error

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        name = self._host if self._tls else None
        place = (self._proxy.host, self._proxy.port) if self._proxy else (self._host, self._port)

        def made() -> Connection:
            return Connection(loop, self._bounds, self._distrust)

        if self._proxy is None or self._tls is None:
            _, connection = await loop.create_connection(made, *place, ssl=self._tls, server_hostname=name)
            return connection
        tunnel = await open_tunnel(self._proxy, self._host, self._port)
        try:
            _, connection = await loop.create_connection(made, sock=tunnel, ssl=self._tls, server_hostname=name)
        except BaseException:
            tunnel.close()
            raise
        return connection

    def _distrust(self) -> None:
        self._trust.stray()
        self._forget()

    def _forget(self) -> None:
        """Close all idle connections."""
        for connection in (*self._settling, *self._settled):
            connection.close()
        self._settling.clear()
        self._settled.clear()

    def _sweep_later(self) -> None:
        # one timer for all connections is cheaper than one for each exchange
        pause_s = min(SWEEP_S, self._bounds.idle_s / 4, self._bounds.total_s / 4)
        self._sweep = asyncio.get_running_loop().call_later(pause_s, self._look)

    def _look(self) -> None:
        self._sweep = None
        now = monotonic()
        for connection in tuple(self._used):
            connection.look(now)
        for resting in (self._settled, self._settling):
            while resting and (resting[0].closed or resting[0].rested_at <= now - KEEP_S):
                resting.popleft().close()
        if self._used or self._settled or self._settling:
            self._sweep_later()


def _kind_of(error: OSError) -> str:
    """Describe why a connection could not be opened, without an address."""
    match error:
        case ProxyRefused():
            return str(error)
        case ConnectionRefusedError():
            return "the connection was refused"
        case socket.gaierror():
            return "its name cannot be resolved"
        case ssl.SSLCertVerificationError():
            return "its certificate is not trusted"
        case ssl.SSLError():
            return "TLS failed"
    return "no connection could be opened"


def _is_sick(status: int) -> bool:
    """Whether a status means that the server has failed. The status 429 only means that the server gets too many
    requests.
    """
    return is_failure(status) and status != LIMITED


async def _nothing() -> bytes:
    return b""


def _lines(headers: list[tuple[bytes, bytes]] | tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([name + b": " + value + b"\r\n" for name, value in headers])
