"""A running request: ASGI's `receive` and `send` on a connection."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Protocol

from gateway.errors import RequestError
from gateway.wire import errors

log = logging.getLogger("foreword.serving")

Application = Callable[[Any, Any, Any], Awaitable[None]]
Head = list[tuple[bytes, bytes]]

BODY_HIGH_WATER = 256 * 1024
"""How many bytes of a body are buffered before reading from the client pauses."""
JOINED = 64 * 1024
"""A body up to this size is sent together with its head. A longer body is sent separately, without a copy."""
STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
FAILED = RequestError("The gateway failed on this request. The gateway's log has the reason.")


class Link(Protocol):
    """The part of a connection that a request uses."""

    @property
    def date(self) -> bytes: ...
    @property
    def last(self) -> bool: ...

    paused: bool

    def write(self, data: bytes) -> None: ...
    async def drained(self) -> None: ...
    def pause_body(self) -> None: ...
    def resume_body(self) -> None: ...
    def answered(self, *, keep: bool) -> None: ...
    def abort(self) -> None: ...


class ServedRequest:
    """The state of one request. `over` is set once the request is answered or the client has left."""

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_expects",
        "_headers",
        "_held",
        "_left",
        "_link",
        "_old",
        "_pieces",
        "_status",
        "_told_end",
        "_waiters",
        "body_complete",
        "error",
        "keep",
        "over",
        "scope",
        "started",
        "task",
    )

    def __init__(self, link: Link, scope: dict[str, Any], *, keep: bool, expects: bool) -> None:
        self.scope = scope
        self.keep = keep
        """Whether the connection may carry another request."""
        self.body_complete = False
        self.started = False
        self.over = False
        self.error: RequestError | None = None
        """The error that `receive` raises while the application waits for the rest of the body, or None."""
        self.task: asyncio.Task[None] | None = None
        self._link = link
        self._expects = expects
        self._old = scope["http_version"] == "1.0"
        self._pieces: list[bytes] = []
        self._held = 0
        self._told_end = False
        self._waiters: list[asyncio.Future[None]] = []
        self._status = 0
        self._headers: Head = []
        self._left = -1
        """How many announced bytes are still unsent, or -1 if no length was announced."""
        self._chunked = False
        self._bodiless = scope["method"] == "HEAD"

    # called by the connection

    def feed(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > BODY_HIGH_WATER:
            self._link.pause_body()
        self.wake()

    def end_body(self) -> None:
        self.body_complete = True
        self.wake()

    def leave(self) -> None:
        """Note that the client has left. Nothing is sent after this."""
        self.over = True
        self.wake()

    def wake(self) -> None:
        wake_all(self._waiters)

    # called by the application (ASGI)

    async def run(self, application: Application) -> None:
        try:
            await application(self.scope, self.receive, self.send)
        except RequestError as error:
            if not self.started and not self.over:
                self.refuse(error)
        except Exception:
            log.exception("a request failed")
        finally:
            if not self.over:
                self._give_up()

    async def receive(self) -> dict[str, Any]:
        """Return the next piece of the body. After the last piece, wait until the client leaves. Raises `error`."""
        while not (self._pieces or self.body_complete or self.over):
            if self.error is not None:
                raise self.error
            if self._expects:
                self._expects = False
                self._link.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await next_wake(self._waiters)
        if self._pieces or (self.body_complete and not self._told_end):
            self._told_end = self.body_complete
            return {"type": "http.request", "body": self._take(), "more_body": not self.body_complete}
        while not self.over:
            await next_wake(self._waiters)
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Send a message, and wait until the client has read enough. Does nothing after the client has left."""
        if self.over:
            return
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if not self.started:
            self._start(body, more)
        elif body or not more:
            self._write(b"", body, more)
        if self._link.paused:
            await self._link.drained()
        if not more and not self.over:
            self._finish()

    def refuse(self, error: RequestError) -> None:
        """Answer with an error in OpenAI's form, without calling the application."""
        body = errors.envelope(error)
        self._status = error.status
        self._headers = [(b"content-type", b"application/json")]
        if error.retry_after_s:
            self._headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
        self._start(body, more=False)
        self._finish()

    def _take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        if self._held > BODY_HIGH_WATER:
            self._link.resume_body()
        self._held = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _start(self, body: bytes, more: bool) -> None:
        self.started = True
        head = self._head(len(body), more)
        if len(body) <= JOINED:
            self._write(head, body, more)
        else:
            self._link.write(head)
            self._write(b"", body, more)

    def _head(self, size: int, more: bool) -> bytes:
        """Return the status line and headers. The headers that frame a body are set here, not by the application."""
        status = self._status
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status]
        if status < 200 or status in (204, 304):
            self._bodiless = True
        length, dated = b"", False
        for name, value in self._headers:
            lower = name.lower()
            if lower == b"content-length":
                length = value
                continue
            if lower == b"connection":
                self.keep = self.keep and value.lower() != b"close"
            if lower in (b"transfer-encoding", b"connection"):
                continue
            dated = dated or lower == b"date"
            lines.append(b"%b: %b\r\n" % (name, value))
        if not length and not more and not self._bodiless:
            length = b"%d" % size
        if length:
            lines.append(b"content-length: %b\r\n" % length)
            self._left = int(length)
        elif not self._bodiless:
            if self._old:
                self.keep = False
            else:
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
        if not self.body_complete or self._link.last:
            self.keep = False
        if not self.keep:
            lines.append(b"connection: close\r\n")
        elif self._old:
            lines.append(b"connection: keep-alive\r\n")
        if not dated:
            lines.append(self._link.date)
        head = b"".join(lines)
        if head.count(b"\n") != len(lines):
            raise ValueError("a header of the answer holds a line break")
        return head + b"\r\n"

    def _write(self, head: bytes, body: bytes, more: bool) -> None:
        if self._bodiless:
            body = b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        elif self._left >= 0:
            self._left -= len(body)
            if self._left < 0:
                raise ValueError("the answer is longer than its content-length")
        if head or body:
            self._link.write(head + body if head else body)

    def _finish(self) -> None:
        self.over = True
        self.wake()
        if self._left > 0 and not self._bodiless:
            self._link.abort()  # closing tells the client not to wait for the rest
        else:
            self._link.answered(keep=self.keep)

    def _give_up(self) -> None:
        """Handle an application that returned before its answer was complete."""
        if self.started:
            self._link.abort()
        else:
            self.refuse(FAILED)


async def next_wake(waiters: list[asyncio.Future[None]]) -> None:
    """Wait until the next call of `wake_all`."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiters.append(waiter)
    try:
        await waiter
    finally:
        waiters.remove(waiter)


def wake_all(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
