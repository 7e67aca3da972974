"""Accepts and counts a worker's connections, and closes those with a slow client.

The listener uses no locks or threads. One timer checks all connections once a second, and a request costs only a few
dictionary entries.
"""

import asyncio
import contextlib
import logging
import socket
import time
from email.utils import formatdate
from functools import partial
from ssl import SSLContext

from gateway.errors import TooBusy
from gateway.serving.connection import ClientConnection
from gateway.serving.limits import ClientLimits
from gateway.serving.request import Application, ServedRequest
from gateway.serving.websocket import ServedSocket

log = logging.getLogger("foreword.serving")

SWEEP_S = 1.0
AT_ONCE = 64
"""How many connections are accepted in a row before the event loop handles other events."""
PAUSE_S = 0.1
"""How long to wait after `accept` has failed, usually because too many files are open, before accepting again."""
HANDSHAKE_S = 10.0
"""How long a client may take to agree on TLS."""
RETRY_AFTER_S = 1.0
ADOPT_S = 0.1
"""How long an accepted connection takes at most, usually, until it is set up."""
ALWAYS = frozenset(("/health/live", "/health/ready", "/metrics"))
"""Paths that are answered under any load."""


class Listener:
    """Serves `application` on a listening socket, and closes the socket at the end."""

    def __init__(
        self,
        application: Application,
        limits: ClientLimits,
        loop: asyncio.AbstractEventLoop,
        sweep_s: float = SWEEP_S,
        tls: SSLContext | None = None,
    ) -> None:
        """`sweep_s` is the interval at which deadlines are checked."""
        self.limits = limits
        self.draining = False
        self.rest_s = 0.0
        self.date = _date()
        self.refused = self.evicted = self.expired = 0
        self._application = application
        self._tls = tls
        self._handshake_s = None if tls is None else min(limits.head_s, HANDSHAKE_S)
        self._loop = loop
        self._socket: socket.socket | None = None
        self._accepting = False
        self._connections: set[ClientConnection] = set()
        self._waiting: dict[ClientConnection, None] = {}
        """Connections that wait for their client. The connection that has waited longest is first."""
        self._adopting: dict[asyncio.Task[None], None] = {}
        """Connections that are being set up, with TLS until the handshake is done. The oldest is first."""
        self._requests: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._rests_end = 0.0
        """While the listener drains: when the last idle connection is closed, on the loop's clock."""
        self._sweep_s = sweep_s
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        return len(self._connections) + len(self._adopting)

    @property
    def requests(self) -> int:
        return len(self._requests)

    def listen(self, listening: socket.socket) -> None:
        self._socket = listening
        self._resume()
        self._sweep = self._loop.call_later(self._sweep_s, self._look)

    def drain(self, rest_s: float = 0.0) -> None:
        """Stop accepting connections. Close each connection after its next answer, or once it has been idle for
        `rest_s`. A client that was not told that its connection closes could just be sending a request.
        """
        self.draining, self.rest_s = True, rest_s
        self._pause()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        for connection in tuple(self._connections):
            connection.rest_no_more()
        if rest_s:
            self.rests()

    def rests(self) -> None:
        """Wait `rest_s` for another request on idle connections. Called while the listener drains."""
        self._idle.clear()
        self._rests_end = self._loop.time() + self.rest_s
        self._loop.call_later(self.rest_s, self._end_rests)

    def _end_rests(self) -> None:
        now = self._loop.time()
        for connection in [connection for connection in self._connections if connection.deadline <= now]:
            connection.expire(now)
        # a connection that opened or became idle later has its own time
        ends = [connection.deadline for connection in self._connections if connection.resting]
        if ends or self._adopting:
            self._rests_end = min(max(ends, default=now + ADOPT_S), now + self.rest_s)
            self._loop.call_at(self._rests_end, self._end_rests)
        else:
            self._look_idle()

    def _look_idle(self) -> None:
        if not self._requests and self._loop.time() >= self._rests_end:
            self._idle.set()

    async def finished(self) -> None:
        """Wait until no request is running, and until idle connections may be closed."""
        await self._idle.wait()

    async def close(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` until the remaining bytes are sent, then abort the remaining connections."""
        deadline = self._loop.time() + timeout_s
        while self._connections and self._loop.time() < deadline:  # noqa: ASYNC110 - at the end of a process
            await asyncio.sleep(0.02)
        for connection in tuple(self._connections):
            connection.abort()
        if self._sweep is not None:
            self._sweep.cancel()

    # accepting connections

    def _resume(self) -> None:
        if self._socket is not None and not self._accepting:
            self._accepting = True
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _pause(self) -> None:
        if self._socket is not None and self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._socket.fileno())

    def _accept(self) -> None:
        assert self._socket is not None
        for number in range(AT_ONCE):
            if self.connections >= self.limits.connections:
                if number:
                    return  # if another connection waits, the event loop calls this method again
                if not self._make_room():
                    self._pause()  # new connections stay in the system's queue until one closes
                    return
            try:
                client, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("a connection could not be accepted", extra={"reason": error.strerror})
                self._pause()
                self._make_room()
                self._loop.call_later(PAUSE_S, self._resume)
                return
            client.setblocking(False)
            task = self._loop.create_task(self._adopt(client))
            self._adopting[task] = None
            task.add_done_callback(partial(self._adopted, client))

    def _adopted(self, client: socket.socket, task: asyncio.Task[None]) -> None:
        self._adopting.pop(task, None)
        if task.cancelled():
            client.close()  # a task that is cancelled before its first step runs no code of its own

    async def _adopt(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: ClientConnection(self, self._loop),
                client,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_s,
            )
        except OSError:
            client.close()  # the client has already left, or speaks no TLS

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest. Returns False if none is idle."""
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            return self._tls is not None and self._give_up_handshake()
        self.evicted += 1
        self.closed(oldest)
        oldest.abort()
        return True

    def _give_up_handshake(self) -> bool:
        """Close the connection whose TLS handshake began first. Returns False if there is none."""
        oldest = next(iter(self._adopting), None)
        if oldest is None:
            return False
        self.evicted += 1
        oldest.cancel()
        self._adopting.pop(oldest)
        return True

    # called by connections

    def opened(self, connection: ClientConnection) -> None:
        self._connections.add(connection)
        if self.draining:
            connection.rest_no_more()

    def closed(self, connection: ClientConnection) -> None:
        self._connections.discard(connection)
        self._waiting.pop(connection, None)
        if not self._accepting and not self.draining:
            self._resume()

    def waits(self, connection: ClientConnection) -> None:
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def works(self, connection: ClientConnection) -> None:
        self._waiting.pop(connection, None)

    def start(self, request: ServedRequest | ServedSocket) -> None:
        if len(self._requests) >= self.limits.requests and request.scope["path"] not in ALWAYS:
            self.refused += 1
            request.refuse(_too_busy(len(self._requests)))
            return
        task = self._loop.create_task(request.run(self._application))
        self._requests.add(task)
        self._idle.clear()
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        self._look_idle()
        with contextlib.suppress(asyncio.CancelledError):
            if error := task.exception():
                log.error("a request failed in the server", exc_info=error)

    # deadlines

    def _look(self) -> None:
        self._sweep = self._loop.call_later(self._sweep_s, self._look)
        self.date = _date()
        now = self._loop.time()
        for connection in [connection for connection in self._connections if connection.deadline <= now]:
            self.expired += 1
            connection.expire(now)


def _date() -> bytes:
    return b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()


def _too_busy(requests: int) -> TooBusy:
    return TooBusy(f"The gateway is handling {requests} requests. Try again in a moment.", retry_after_s=RETRY_AFTER_S)
