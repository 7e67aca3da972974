"""One client's connection: parses HTTP/1.1, passes requests to the application, and enforces deadlines.

The parser is httptools (llhttp) in its strict mode, as in the client for backends.
"""

import asyncio
from collections import deque
from typing import Any, Protocol

import httptools

from gateway.errors import BadRequest, RequestError, TimedOut
from gateway.serving.head import FRAMING, HEAD_LIMIT, SPECIAL, Header, address, head_too_large, scope_of
from gateway.serving.limits import ClientLimits
from gateway.serving.request import ServedRequest
from gateway.serving.unsent import unsent_bytes

WRITE_HIGH_WATER = 64 * 1024
LINGER_S = 5.0
"""The time for which bytes that a client sends after the last answer are read and dropped."""
SLOWEST_BYTES_S = 1000
"""A client that reads fewer bytes of its answer per second counts as not reading."""
NEVER = float("inf")


class ConnectionOwner(Protocol):
    """The part of a listener that its connections need."""

    limits: ClientLimits
    draining: bool
    date: bytes

    def opened(self, connection: "ClientConnection") -> None: ...
    def closed(self, connection: "ClientConnection") -> None: ...
    def waits(self, connection: "ClientConnection") -> None:
        """The connection waits for its client. Also called whenever the client then sends something."""

    def works(self, connection: "ClientConnection") -> None:
        """The connection no longer waits for its client."""

    def start(self, request: ServedRequest) -> None: ...


class ClientConnection(asyncio.Protocol):
    """A connection. Requests that arrive before the last one is answered wait in a queue.

    The listener calls `expire` after `deadline`; it checks once a second.
    """

    __slots__ = (
        "_answering",
        "_body_ends",
        "_closing",
        "_drained",
        "_head_begun",
        "_head_size",
        "_headers",
        "_loop",
        "_owner",
        "_parser",
        "_peer",
        "_queue",
        "_reading",
        "_server",
        "_special",
        "_spoiled",
        "_transport",
        "_unsent",
        "_upgrading",
        "_url",
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
        self._parser: Any = httptools.HttpRequestParser(self)
        self._queue: deque[ServedRequest] = deque()
        self._answering: ServedRequest | None = None
        self._reading: ServedRequest | None = None
        """The request whose body is not complete yet."""
        self._drained: asyncio.Future[None] | None = None
        self._closing = False
        self._spoiled = False
        """Whether the client's bytes can no longer be parsed."""
        self._upgrading = False
        """Whether the parser stopped at a head that asks for another protocol."""
        self._unsent = 0
        self._body_ends = 0.0
        self._begin_head()

    def _begin_head(self) -> None:
        self._head_begun = False
        self._head_size = 0
        self._url = b""
        self._headers: list[Header] = []
        self._special: dict[bytes, bytes] = {}

    @property
    def date(self) -> bytes:
        return self._owner.date

    @property
    def last(self) -> bool:
        """Whether the connection closes after this answer."""
        return self._owner.draining

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(WRITE_HIGH_WATER)
        self._peer = address(transport.get_extra_info("peername"))
        self._server = address(transport.get_extra_info("sockname"))
        self.deadline = self._loop.time() + self._owner.limits.head_s
        self._owner.opened(self)
        self._owner.waits(self)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._spoiled:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse_bytes(error)
            return
        if self._reading is not None:
            self._body_goes_on()
        elif self._head_begun and self._answering is None:
            self._head_goes_on(len(data))

    def _decline_upgrade(self, rest: bytes) -> None:
        """Answer a request for a protocol upgrade as if it had not asked for the upgrade.

        llhttp does not read the body of such a request, so another parser reads it, after a head with only the
        framing headers.
        """
        framing = [b"%b: %b\r\n" % header for header in self._headers if header[0] in FRAMING]
        self._parser = httptools.HttpRequestParser(_BodyEvents(self))
        try:
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing) + rest)
        except httptools.HttpParserError as error:
            self._refuse_bytes(error)

    def _body_goes_on(self) -> None:
        if self._reading is not self._answering:
            return
        now, limits = self._loop.time(), self._owner.limits
        if not self._body_ends:
            self._body_ends = now + limits.body_s
        self.deadline = min(now + limits.body_pause_s, self._body_ends)
        self._owner.waits(self)

    def _head_goes_on(self, size: int) -> None:
        self._head_size += size
        if self._head_size > HEAD_LIMIT:
            self._answer_bytes(head_too_large())
        else:
            self._owner.waits(self)

    def eof_received(self) -> None:
        """A client that stops sending has left; the transport closes itself."""

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

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if self._answering is None:
            self.deadline = self._loop.time() + self._owner.limits.head_s
        self._begin_head()
        self._head_begun = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_begun:
            return  # a trailer, not a header
        name = name.lower()
        if name in SPECIAL:
            if name in self._special:
                raise BadRequest(f"The request has the header {name.decode('latin-1')} twice.")
            self._special[name] = value.lower()
        self._headers.append((name, value))
        self._head_size += len(name) + len(value)
        if self._head_size > HEAD_LIMIT:
            raise head_too_large()

    def on_headers_complete(self) -> None:
        self._head_begun = False
        upgrades = self._parser.should_upgrade()
        self._upgrading = upgrades
        request = ServedRequest(
            self,
            scope_of(self._parser, self._url, self._headers, self._special, server=self._server, client=self._peer),
            keep=self._parser.should_keep_alive() and not upgrades,
            expects=self._special.get(b"expect") == b"100-continue",
        )
        self._head_size = 0
        self._body_ends = 0.0
        self._reading = request
        if self._answering is None:
            self._begin(request)
        else:
            self._queue.append(request)
            self._transport.pause_reading()

    def on_body(self, body: bytes) -> None:
        if self._reading is not None and not self._reading.over:
            self._reading.feed(body)

    def on_message_complete(self) -> None:
        if self._upgrading:
            self._upgrading = False
            return
        request, self._reading = self._reading, None
        if request is None:
            return
        request.end_body()
        if request is self._answering:
            self.deadline = NEVER
            self._owner.works(self)

    def _begin(self, request: ServedRequest) -> None:
        self._answering = request
        self._owner.start(request)

    # for the request

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has read enough, or is gone."""
        if self.paused:
            self._drained = self._loop.create_future()
            await self._drained

    def pause_body(self) -> None:
        self._transport.pause_reading()
        self.deadline = NEVER  # now the client waits for the application, so it has no deadline

    def resume_body(self) -> None:
        self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    def answered(self, *, keep: bool) -> None:
        """The answer is written: continue with the next request, wait for one, or close."""
        request, self._answering = self._answering, None
        if request is None:
            return
        now, limits = self._loop.time(), self._owner.limits
        if not keep or self._owner.draining:
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
        else:
            self.deadline = now + limits.idle_s
            self._owner.waits(self)

    def _linger(self) -> None:
        """Close for writing, and drop the client's further bytes for a while. Closing at once would reset the
        connection, and the client could lose the answer."""
        self._closing = True
        self._reading = None
        self.deadline = self._loop.time() + LINGER_S
        self._owner.waits(self)
        self._transport.resume_reading()
        self._transport.write_eof()

    def _close(self) -> None:
        """Close after everything is sent. `expire` closes the connection if the client does not read."""
        self._closing = True
        self._reading = None
        self._unsent = unsent_bytes(self._transport)
        self.deadline = self._loop.time() + self._owner.limits.write_s
        self._owner.works(self)
        self._transport.close()

    # time

    @property
    def resting(self) -> bool:
        """Whether the connection has no running request."""
        return self._answering is None and not self._closing

    def rest_no_more(self) -> None:
        """Close the connection if it is idle; the client can connect to another worker."""
        if self.resting:
            self._close()

    def expire(self, now: float) -> None:
        """Handle a passed deadline: end the connection or the request that is too slow."""
        if self.paused or self._transport.get_write_buffer_size():
            self._look_at_reader(now)
        elif self._closing:
            self.abort()
        elif self._answering is not None:
            self._body_too_slow(self._answering, now)
        elif self._head_begun:
            self._answer_bytes(TimedOut("The head of the request did not arrive in time."))
        else:
            self._close()

    def _look_at_reader(self, now: float) -> None:
        """Extend the deadline of a client that reads, and abort the connection of one that does not."""
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

    # errors before there is a request

    def _refuse_bytes(self, error: Exception) -> None:
        cause = error.__context__
        self._spoiled = True
        if self._answering is not None:
            # the bytes after a request cannot be parsed, so its answer is the last one
            self._answering.keep = False
            self._queue.clear()
            if self._reading is not None:
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
        """Send an error for bytes that are not a request, and close the connection."""
        scope = {"http_version": "1.1", "method": "GET"}
        request = self._answering = ServedRequest(self, scope, keep=False, expects=False)
        self._reading, self._spoiled = None, True
        request.body_complete = True
        request.refuse(error)


class _BodyEvents:
    """Receives the parser's events of a body whose head was already passed on."""

    def __init__(self, connection: ClientConnection) -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete
