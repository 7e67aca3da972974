"""Parses the requests on a connection, and passes their parts to the connection.

It uses httptools (llhttp) in strict mode, as the client for backends does.
"""

from typing import Any, Protocol

import httptools

from gateway.errors import BadRequest
from gateway.serving.head import FRAMING, HEAD_LIMIT, SPECIAL, Address, Header, head_too_large, scope_of
from gateway.serving.websocket import is_handshake


class ParserOwner(Protocol):
    """Receives the parts of requests, in order."""

    def head_begins(self) -> None: ...
    def head_ends(self, scope: dict[str, Any], *, keep: bool, expects: bool) -> None:
        """Start a request whose head was read. `keep`: the connection may carry another request. `expects`: the client
        waits for a 100 Continue."""

    def body_piece(self, piece: bytes) -> None: ...
    def body_ends(self) -> None: ...
    def socket_begins(self, scope: dict[str, Any], early: bytes) -> None:
        """Start a WebSocket whose handshake was read. `early` are the bytes behind it. The parser is not used again."""


class RequestParser:
    """Parses a stream of requests. `in_head` is True while a head is parsed; `head_size` counts the head's bytes."""

    __slots__ = (
        "_client",
        "_handshake",
        "_headers",
        "_owner",
        "_parser",
        "_secure",
        "_server",
        "_special",
        "_upgrading",
        "_url",
        "head_size",
        "in_head",
    )

    def __init__(self, owner: ParserOwner, *, server: Address, client: Address, secure: bool = False) -> None:
        self._owner = owner
        self._server, self._client = server, client
        self._secure = secure
        self._parser: Any = httptools.HttpRequestParser(self)
        self._upgrading = False
        """Whether the parser stopped at a head that asks for another protocol."""
        self._handshake: dict[str, Any] | None = None
        """The head of a request for a WebSocket."""
        self._begin_head()

    def feed(self, data: bytes) -> None:
        """Parse bytes. Raises `httptools.HttpParserError`; for a refused head, its `__context__` is the
        `RequestError`."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._handshake is not None:
                self._owner.socket_begins(self._handshake, rest)
            else:
                self._decline_upgrade(rest)

    def _begin_head(self) -> None:
        self.in_head = False
        self.head_size = 0
        self._url = b""
        self._headers: list[Header] = []
        self._special: dict[bytes, bytes] = {}

    def _decline_upgrade(self, rest: bytes) -> None:
        """Handle an upgrade to another protocol than WebSocket like a normal request.

        llhttp does not read the body of an upgrade request. A second parser therefore gets a head with only the headers
        that frame the body, and then the body.
        """
        framing = [b"%b: %b\r\n" % header for header in self._headers if header[0] in FRAMING]
        self._parser = httptools.HttpRequestParser(_BodyEvents(self))
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing) + rest)

    # callbacks of httptools

    def on_message_begin(self) -> None:
        self._owner.head_begins()
        self._begin_head()
        self.in_head = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:
            return  # a trailer, not a header
        name = name.lower()
        if name in SPECIAL:
            if name in self._special:
                raise BadRequest(f"The request has the header {name.decode('latin-1')} twice.")
            self._special[name] = value.lower()
        self._headers.append((name, value))
        self.head_size += len(name) + len(value)
        if self.head_size > HEAD_LIMIT:
            raise head_too_large()

    def on_headers_complete(self) -> None:
        self.in_head = False
        upgrades = self._upgrading = self._parser.should_upgrade()
        scope = scope_of(
            self._parser, self._url, self._headers, self._special, server=self._server, client=self._client
        )
        if self._secure:
            scope["scheme"] = "https"
        self.head_size = 0
        if upgrades and is_handshake(self._parser.get_method(), self._headers):
            self._handshake = scope
            return
        keep = self._parser.should_keep_alive() and not upgrades
        self._owner.head_ends(scope, keep=keep, expects=self._special.get(b"expect") == b"100-continue")

    def on_body(self, body: bytes) -> None:
        self._owner.body_piece(body)

    def on_message_complete(self) -> None:
        if self._upgrading:
            self._upgrading = False
            return
        self._owner.body_ends()


class _BodyEvents:
    """Receives the parser's events for a body whose head was already passed on."""

    def __init__(self, parser: RequestParser) -> None:
        self.on_body = parser.on_body
        self.on_message_complete = parser.on_message_complete
