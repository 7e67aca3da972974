"""A running WebSocket: ASGI's `receive` and `send` on a connection.

The library `websockets` reads and writes the frames, without sockets of its own. Messages are not compressed: a
compressed message of a few bytes can stand for gigabytes.
"""

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any

from gateway.errors import BadRequest, RequestError
from gateway.serving.head import FRAMING
from gateway.serving.request import BODY_HIGH_WATER, FAILED, Application, Link, ServedRequest, next_wake, wake_all
from gateway.wire import close_codes
from gateway.wire.close_codes import LOST, NO_CODE, NOT_TEXT

log = logging.getLogger("foreword.serving")

PING_S = 20.0
"""How often a silent client is asked whether it is still there. It is given up if it is silent this long after that."""
CLOSE_S = 5.0
"""How long a client may take to confirm the end of its connection."""
TEXT, CONTINUED, BINARY, CLOSE = 1, 0, 2, 8
"""The kinds of frames (RFC 6455, 11.8)."""
HANDSHAKE = frozenset((b"connection", b"upgrade"))


def is_handshake(method: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request that asks for another protocol asks for a WebSocket. Such a request has no body."""
    wanted = any(name == b"upgrade" and value.lower() == b"websocket" for name, value in headers)
    return wanted and method == b"GET" and all(name not in FRAMING for name, _ in headers)


class ServedSocket:
    """The state of one WebSocket. `over` is set once nothing more can be sent to the client."""

    def __init__(self, link: Link, scope: dict[str, Any], most_bytes: int) -> None:
        """`most_bytes` is the size of the largest message."""
        offered = b",".join([value for name, value in scope["headers"] if name == b"sec-websocket-protocol"])
        names = [name.strip() for name in offered.decode("latin-1").split(",")]
        self.scope = {
            **scope,
            "type": "websocket",
            "scheme": "wss" if scope["scheme"] == "https" else "ws",
            "subprotocols": [name for name in names if name],
            "extensions": {"websocket.http.response": {}},
        }
        self.keep = False
        self.over = False
        self._link = link
        self._head = scope
        self._most_bytes = most_bytes
        self._protocol: Any = None
        """The library's state of an accepted connection."""
        self._denial: ServedRequest | None = None
        """The answer in place of a connection."""
        self._early = b""
        self._told_connect = False
        self._messages: deque[bytes | str] = deque()
        self._parts: list[bytes] = []
        self._kind = TEXT
        self._held = 0
        self._paused = False
        self._ending: tuple[int, str] | None = None
        """The code and the reason with which the client ended the connection."""
        self._waiters: list[asyncio.Future[None]] = []
        self._is_heard = self._is_pinged = False
        self._beat: asyncio.TimerHandle | None = None

    # called by the connection

    def feed(self, data: bytes) -> None:
        """Take bytes of the client."""
        self._is_heard = True
        if self._protocol is None:
            self._early += data
            if len(self._early) > BODY_HIGH_WATER:
                self._link.abort()
            return
        if self.over:
            return
        self._protocol.receive_data(data)
        self._take_events()
        self._flush()

    def end_body(self) -> None:
        """Do nothing: a handshake has no body."""

    def leave(self) -> None:
        """Note that the client has left. Nothing is sent after this."""
        self.over = True
        self._end(LOST, "")

    def refuse(self, error: RequestError) -> None:
        """Answer the handshake with an error in OpenAI's form."""
        self._deny().refuse(error)

    # called by the application (ASGI)

    async def run(self, application: Application) -> None:
        try:
            if (fault := self._handshake_fault()) is not None:
                self.refuse(fault)
                return
            await application(self.scope, self.receive, self.send)
        except RequestError as error:
            if self._protocol is None and not self.over:
                self.refuse(error)
        except Exception:
            log.exception("a WebSocket failed")
        finally:
            await self._finish()

    async def receive(self) -> dict[str, Any]:
        """Return the next message of the client, or how it ended the connection."""
        if not self._told_connect:
            self._told_connect = True
            return {"type": "websocket.connect"}
        while not self._messages and self._ending is None:
            await next_wake(self._waiters)
        if self._messages:
            message = self._messages.popleft()
            self._held -= len(message)
            if self._paused and self._held <= BODY_HIGH_WATER:
                self._paused = False
                self._link.resume_body()
            return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}
        assert self._ending is not None
        return {"type": "websocket.disconnect", "code": self._ending[0], "reason": self._ending[1]}

    async def send(self, message: Any) -> None:
        """Send a message, and wait until the client has read enough. Does nothing after the connection has ended."""
        kind = message["type"]
        if kind.startswith("websocket.http.response."):
            await self._deny().send({**message, "type": kind.removeprefix("websocket.")})
        elif kind == "websocket.accept":
            self._accept(message.get("subprotocol"), message.get("headers", ()))
        elif self._protocol is None:
            self.refuse(BadRequest("The connection was refused."))
        elif self._is_open:
            if kind == "websocket.close":
                self._close(message.get("code", 1000), message.get("reason") or "")
            elif (text := message.get("text")) is not None:
                self._protocol.send_text(text.encode())
            else:
                self._protocol.send_binary(message["bytes"])
            self._flush()
            if self._link.paused:
                await self._link.drained()

    @property
    def _is_open(self) -> bool:
        return not self.over and self._protocol.state.name == "OPEN"

    def _handshake_fault(self) -> RequestError | None:
        """Return the error of a handshake that cannot be answered, or None."""
        from websockets.exceptions import InvalidHandshake
        from websockets.server import ServerProtocol

        try:
            ServerProtocol().process_request(self._request())
        except InvalidHandshake as fault:
            return BadRequest(f"The WebSocket cannot be opened: {fault}.")
        return None

    def _request(self) -> Any:
        """Return the handshake as the library reads it."""
        from websockets.datastructures import Headers
        from websockets.http11 import Request

        pairs = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self.scope["headers"]
            if name in HANDSHAKE or (name.startswith(b"sec-websocket-") and name != b"sec-websocket-extensions")
        ]
        return Request("/", Headers(pairs))

    def _accept(self, subprotocol: str | None, headers: Any) -> None:
        """Send the answer to the handshake, and read what the client has sent since."""
        from websockets.protocol import OPEN
        from websockets.server import ServerProtocol

        if self.over:
            return
        answer = ServerProtocol().accept(self._request())
        if subprotocol:
            answer.headers["Sec-WebSocket-Protocol"] = subprotocol
        for name, value in headers:
            answer.headers[name.decode("latin-1")] = value.decode("latin-1")
        self._protocol = ServerProtocol(state=OPEN, max_size=self._most_bytes)
        self._link.write(answer.serialize())
        self._beat = asyncio.get_running_loop().call_later(PING_S, self._look)
        early, self._early = self._early, b""
        if early:
            self.feed(early)

    def _deny(self) -> ServedRequest:
        if self._denial is None:
            self._denial = ServedRequest(self._link, self._head, keep=False, expects=False)
            self._denial.end_body()
            self._denial.over = self.over
            self.over = True
            self._end(LOST, "")
        return self._denial

    def _take_events(self) -> None:
        for frame in self._protocol.events_received():
            if frame.opcode in (TEXT, BINARY, CONTINUED):
                self._take_part(frame)
            elif frame.opcode == CLOSE:
                ending = self._protocol.close_rcvd
                self._end(ending.code, ending.reason)
        if self._protocol.parser_exc is not None:
            # the client broke the protocol, or sent a message that is too large; the library answers with the code
            sent = self._protocol.close_sent
            self._end(sent.code if sent is not None else LOST, sent.reason if sent is not None else "")

    def _take_part(self, frame: Any) -> None:
        if frame.opcode != CONTINUED:
            self._kind = frame.opcode
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        whole = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        try:
            message = whole.decode() if self._kind == TEXT else whole
        except UnicodeDecodeError:
            if self._is_open:  # the gateway may have ended the connection already
                self._close(NOT_TEXT, "the text is not UTF-8")
            self._end(NOT_TEXT, "the text is not UTF-8")
            return
        self._messages.append(message)
        self._held += len(message)
        if self._held > BODY_HIGH_WATER and not self._paused:
            self._paused = True
            self._link.pause_body()
        self._wake()

    def _close(self, code: int, reason: str) -> None:
        if code == NO_CODE:
            self._protocol.send_close()
        else:
            self._protocol.send_close(code, reason.encode()[:123].decode(errors="ignore"))

    def _flush(self) -> None:
        """Send what the library has to send."""
        for data in self._protocol.data_to_send():
            if data:
                self._link.write(data)
            elif not self.over:
                self.over = True  # both sides have said that they end
                self._wake()

    def _end(self, code: int, reason: str) -> None:
        if self._ending is None:
            self._ending = (code, reason)
        self._wake()

    def _look(self) -> None:
        """Ask a silent client whether it is still there, and give up a client that does not answer."""
        self._beat = None
        if self.over:
            return
        if self._is_heard or self._paused:
            self._is_pinged = False
        elif self._is_pinged:
            self._link.abort()
            return
        elif self._is_open:
            self._is_pinged = True
            self._protocol.send_ping(b"")
            self._flush()
        self._is_heard = False
        self._beat = asyncio.get_running_loop().call_later(PING_S, self._look)

    async def _finish(self) -> None:
        """End the connection after the application is done: wait for the client's confirmation, then close."""
        if self._denial is None and self._protocol is None and not self.over:
            self.refuse(FAILED)
        if self._denial is not None or self._protocol is None:
            return
        if self._paused:
            self._paused = False
            self._link.resume_body()
        if self._is_open:
            self._close(close_codes.FAILED, "")
            self._flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while not self.over:
                    await next_wake(self._waiters)
        if self._beat is not None:
            self._beat.cancel()
        self.over = True
        self._link.answered(keep=False)

    def _wake(self) -> None:
        wake_all(self._waiters)
