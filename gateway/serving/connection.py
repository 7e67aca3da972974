"""One client's connection: passes its requests to the application one at a time, and enforces deadlines."""

import asyncio
from collections import deque
from typing import Any, Protocol

import httptools

from gateway.errors import BadRequest, RequestError, TimedOut
from gateway.serving.head import HEAD_LIMIT, address, head_too_large
from gateway.serving.limits import ClientLimits
from gateway.serving.queued_bytes import unread_bytes, unsent_bytes
from gateway.serving.request import ServedRequest
from gateway.serving.request_parser import RequestParser
from gateway.serving.websocket import ServedSocket

WRITE_HIGH_WATER = 64 * 1024
LINGER_S = 5.0
"""After the last answer, the client's bytes are read and dropped for this long."""
SLOWEST_BYTES_S = 1000
"""The slowest allowed reading, in bytes per second. A client that reads its answer more slowly is disconnected."""
NEVER = float("inf")


class ConnectionOwner(Protocol):
    """The part of the listener that connections use."""

    limits: ClientLimits
    draining: bool
    rest_s: float
    """While the owner drains: how long a connection may stay idle before it is closed."""
    date: bytes

    def opened(self, connection: "ClientConnection") -> None: ...
    def closed(self, connection: "ClientConnection") -> None: ...
    def waits(self, connection: "ClientConnection") -> None:
        """Note that the connection waits for its client. Called again each time the client sends bytes."""

    def works(self, connection: "ClientConnection") -> None:
        """Note that the connection no longer waits for its client."""

    def start(self, request: ServedRequest | ServedSocket) -> None: ...
    def rests(self) -> None:
        """Note that a connection of a draining owner became idle, and that its client may send another request."""


class ClientConnection(asyncio.Protocol):
    """A connection. Requests that arrive early wait in a queue.

    The listener checks `deadline` once a second, and calls `expire` when it has passed.
    """

    __slots__ = (
        "_answering",
        "_body_ends",
        "_closing",
        "_drained",
        "_loop",
        "_owner",
        "_parser",
        "_queue",
        "_reading",
        "_socket",
        "_spoiled",
        "_transport",
        "_unsent",
        "deadline",
        "paused",
    )

    def __init__(self, owner: ConnectionOwner, loop: asyncio.AbstractEventLoop) -> None:
        self.deadline = NEVER
        self.paused = False
        """Whether sending must wait until the client has read more."""
        self._owner = owner
        self._loop = loop
        self._transport: Any = None
        self._queue: deque[ServedRequest | ServedSocket] = deque()
        self._answering: ServedRequest | ServedSocket | None = None
        self._reading: ServedRequest | None = None
        """The request whose body is still incomplete."""
        self._socket: ServedSocket | None = None
        """The WebSocket, once the connection is one. It is the last thing on the connection."""
        self._drained: asyncio.Future[None] | None = None
        self._closing = False
        self._spoiled = False
        """Whether the client's bytes can no longer be parsed."""
        self._unsent = 0
        self._body_ends = 0.0

    @property
    def date(self) -> bytes:
        return self._owner.date

    @property
    def last(self) -> bool:
        """Whether the connection closes after the current answer."""
        return self._owner.draining

    # methods of asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(WRITE_HIGH_WATER)
        server, client = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        secure = transport.get_extra_info("sslcontext") is not None
        self._parser = RequestParser(self, server=address(server), client=address(client), secure=secure)
        self.deadline = self._loop.time() + self._owner.limits.head_s
        self._owner.opened(self)
        self._owner.waits(self)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._spoiled:
            return
        if self._socket is not None:
            self._socket.feed(data)
            return
        try:
            self._parser.feed(data)
        except httptools.HttpParserError as error:
            self._refuse_bytes(error)
            return
        if self._reading is not None:
            self._body_goes_on()
        elif self._parser.in_head and self._answering is None:
            self._head_goes_on(len(data))

    def _body_goes_on(self) -> None:
        if self._reading is not self._answering:
            return
        now, limits = self._loop.time(), self._owner.limits
        if not self._body_ends:
            self._body_ends = now + limits.body_s
        self.deadline = min(now + limits.body_pause_s, self._body_ends)
        self._owner.waits(self)

    def _head_goes_on(self, size: int) -> None:
        self._parser.head_size += size
        if self._parser.head_size > HEAD_LIMIT:
            self._answer_bytes(head_too_large())
        else:
            self._owner.waits(self)

    def eof_received(self) -> None:
        """Do nothing: a client that stops sending has left, and the transport closes by itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = NEVER
        self._owner.closed(self)
        for request in (self._answering, *self._queue):
            if request is not None:
                request.leave()
        self._answering = self._reading = None
        self._queue.clear()
        self._release()

    def pause_writing(self) -> None:
        self.paused = True
        self._unsent = unsent_bytes(self._transport)
        self.deadline = self._loop.time() + self._owner.limits.write_s

    def resume_writing(self) -> None:
        self._unsent = 0
        if self._answering is not None:
            self.deadline = NEVER if self._reading is None else self._loop.time() + self._owner.limits.body_pause_s
        self._release()

    def _release(self) -> None:
        self.paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    # called by the parser

    def head_begins(self) -> None:
        if self._answering is None:
            self.deadline = self._loop.time() + self._owner.limits.head_s

    def head_ends(self, scope: dict[str, Any], *, keep: bool, expects: bool) -> None:
        request = ServedRequest(self, scope, keep=keep, expects=expects)
        self._body_ends = 0.0
        self._reading = request
        if self._answering is None:
            self._begin(request)
        else:
            self._queue.append(request)
            self._transport.pause_reading()

    def body_piece(self, piece: bytes) -> None:
        if self._reading is not None and not self._reading.over:
            self._reading.feed(piece)

    def body_ends(self) -> None:
        request, self._reading = self._reading, None
        if request is None:
            return
        request.end_body()
        if request is self._answering:
            self.deadline = NEVER
            self._owner.works(self)

    def socket_begins(self, scope: dict[str, Any], early: bytes) -> None:
        self._socket = ServedSocket(self, scope, self._owner.limits.message_bytes)
        self._socket.feed(early)
        self.deadline = NEVER
        self._owner.works(self)
        if self._answering is None:
            self._begin(self._socket)
        else:
            self._queue.append(self._socket)
            self._transport.pause_reading()

    def _begin(self, request: ServedRequest | ServedSocket) -> None:
        self._answering = request
        self._owner.start(request)

    # called by the request

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has read enough or has left."""
        if self.paused:
            self._drained = self._loop.create_future()
            await self._drained

    def pause_body(self) -> None:
        self._transport.pause_reading()
        self.deadline = NEVER  # the client now waits for the application, so it has no deadline

    def resume_body(self) -> None:
        self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    def answered(self, *, keep: bool) -> None:
        """Continue after an answer is complete: start the next request, wait for one, or close the connection."""
        request, self._answering = self._answering, None
        if request is None:
            return
        now, limits = self._loop.time(), self._owner.limits
        if not keep or (self._owner.draining and not self._owner.rest_s):
            self._closing = True
            self._queue.clear()
            if self._reading is request or self._spoiled:
                self._linger()
            else:
                self._close()
        elif self._queue:
            following = self._queue.popleft()
            if not self._queue:
                self._transport.resume_reading()
            self._begin(following)
        elif self._owner.draining:
            # the head of this answer did not tell the client that the connection closes
            self.deadline = now + self._owner.rest_s
            self._owner.rests()
        else:
            self.deadline = now + limits.idle_s
            self._owner.waits(self)

    def _linger(self) -> None:
        """Close the connection for writing, and drop what the client still sends for `LINGER_S`.

        Closing the connection for reading as well would reset it, and the client could lose the answer.
        """
        self._closing = True
        self._reading = None
        self.deadline = self._loop.time() + LINGER_S
        self._owner.waits(self)
        self._transport.resume_reading()
        if self._transport.can_write_eof():  # TLS closes both directions at once
            self._transport.write_eof()

    def _close(self) -> None:
        """Close the connection once everything is sent. If the client does not read, `expire` closes it."""
        self._closing = True
        self._reading = None
        self._unsent = unsent_bytes(self._transport)
        self.deadline = self._loop.time() + self._owner.limits.write_s
        self._owner.works(self)
        self._transport.close()

    # deadlines

    @property
    def resting(self) -> bool:
        """Whether the connection has no running request and is not closing."""
        return self._answering is None and not self._closing

    def rest_no_more(self) -> None:
        """Close the connection if it is idle, at once or after `rest_s`. Its client can connect to another worker."""
        if not self.resting:
            return
        if self._owner.rest_s:
            self.deadline = min(self.deadline, self._loop.time() + self._owner.rest_s)
        else:
            self._close()

    def expire(self, now: float) -> None:
        """Act on a deadline that has passed: answer a slow request with an error, close or abort the connection, or
        extend the deadline of a client that still reads."""
        if self.paused or self._transport.get_write_buffer_size():
            self._look_at_reader(now)
        elif self._closing:
            self.abort()
        elif isinstance(self._answering, ServedSocket):
            self.deadline = NEVER  # the client has read everything, and a WebSocket looks after itself
        elif self._answering is not None:
            self._body_too_slow(self._answering, now)
        elif self._parser.in_head:
            self._answer_bytes(TimedOut("The head of the request did not arrive in time."))
        elif unread_bytes(self._transport):
            # a request has come, which the event loop has not read yet, since this process stood still
            self.deadline = now + self._owner.limits.head_s
            if self._owner.draining:
                self._owner.rests()
        else:
            self._close()

    def _look_at_reader(self, now: float) -> None:
        """Abort the connection if the client does not read fast enough. Otherwise, extend the deadline."""
        unsent, write_s = unsent_bytes(self._transport), self._owner.limits.write_s
        if self._unsent and self._unsent - unsent < min(self._unsent, SLOWEST_BYTES_S * write_s):
            self.abort()
            return
        self._unsent = unsent
        self.deadline = now + write_s

    def _body_too_slow(self, request: ServedRequest, now: float) -> None:
        if request.started or request.error is not None:
            self.abort()
            return
        request.error = TimedOut("The body of the request did not arrive in time.")
        request.wake()
        self.deadline = now + LINGER_S

    # errors before a request exists

    def _refuse_bytes(self, error: Exception) -> None:
        cause = error.__context__
        self._spoiled = True
        if self._answering is not None:
            # the bytes after this request cannot be parsed, so its answer is the last
            self._answering.keep = False
            self._queue.clear()
            if self._reading is not None and isinstance(self._answering, ServedRequest):
                self._spoil_body(self._answering)
        elif isinstance(cause, RequestError):
            self._answer_bytes(cause)
        else:
            self._answer_bytes(BadRequest(f"The request is not HTTP/1.1: {error}."))

    def _spoil_body(self, request: ServedRequest) -> None:
        self._reading = None
        if request.started:
            self.abort()
        else:
            request.error = BadRequest("The body of the request is not HTTP/1.1.")
            request.wake()

    def _answer_bytes(self, error: RequestError) -> None:
        """Answer unparsable bytes with an error, and close the connection."""
        scope = {"http_version": "1.1", "method": "GET"}
        request = self._answering = ServedRequest(self, scope, keep=False, expects=False)
        self._reading, self._spoiled = None, True
        request.body_complete = True
        request.refuse(error)
