"""Serves liveness, readiness and metrics on a port of the parent process, even while all workers are busy.

Each connection carries one request without a body. Only `/metrics` waits for a worker, for at most a second.
"""

import selectors
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from time import monotonic

import msgspec

HEAD_LIMIT = 8192
PATIENCE_S = 5.0
MOST = 256
"""The largest number of connections. At this number, a new connection replaces the oldest."""
JSON, TEXT = "application/json", "text/plain; version=0.0.4; charset=utf-8"

Respond = Callable[[int, str, bytes], None]
"""Sends the answer: status, media type, body."""
Route = Callable[[Respond], None]


class _HealthConnection:
    def __init__(self, port: "HealthPort", client: socket.socket) -> None:
        self.client = client
        self.until = monotonic() + PATIENCE_S
        self._port = port
        self._head = b""
        self._out = b""

    def read(self) -> None:
        try:
            data = self.client.recv(HEAD_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._head += data
        if not data or len(self._head) > HEAD_LIMIT:
            self._port.drop(self)
        elif b"\r\n\r\n" in self._head:
            self._port.selector.unregister(self.client)
            self._port.route(self._head.decode("latin-1"), self.respond)

    def respond(self, status: int, media_type: str, body: bytes) -> None:
        if self not in self._port.connections:
            return
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {media_type}\r\n"
            f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self._out = head.encode("latin-1") + (b"" if self._head.startswith(b"HEAD ") else body)
        self._port.selector.register(self.client, selectors.EVENT_WRITE, self.write)
        self.write()

    def write(self) -> None:
        try:
            self._out = self._out[self.client.send(self._out) :]
        except BlockingIOError:
            return
        except OSError:
            self._out = b""
        if not self._out:
            self._port.drop(self)


class HealthPort:
    """Serves `routes` on a listening socket. `is_allowed` gets the Host header of a request and returns whether to
    answer the request."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listening: socket.socket,
        routes: Mapping[str, Route],
        is_allowed: Callable[[str], bool],
    ) -> None:
        self.selector = selector
        self.connections: dict[_HealthConnection, None] = {}
        self._listening = listening
        self._routes = routes
        self._is_allowed = is_allowed
        selector.register(listening, selectors.EVENT_READ, self._accept)

    def look(self) -> None:
        """Close connections that have timed out."""
        now = monotonic()
        for connection in [connection for connection in self.connections if connection.until <= now]:
            self.drop(connection)

    def close(self) -> None:
        for connection in tuple(self.connections):
            self.drop(connection)
        self.selector.unregister(self._listening)
        self._listening.close()

    def sockets(self) -> list[socket.socket]:
        """Return the sockets that a child process must close."""
        return [self._listening, *[connection.client for connection in self.connections]]

    def drop(self, connection: _HealthConnection) -> None:
        self.connections.pop(connection, None)
        with suppress(KeyError, ValueError):
            self.selector.unregister(connection.client)
        connection.client.close()

    def route(self, head: str, respond: Respond) -> None:
        line, *lines = head.split("\r\n")
        method, _, rest = line.partition(" ")
        route = self._routes.get(rest.partition(" ")[0].partition("?")[0])
        host = next((line[5:].strip() for line in lines if line.lower().startswith("host:")), "")
        if not self._is_allowed(host):
            respond(403, JSON, _error("This gateway has no keys, so it only answers to loopback names."))
        elif route is None:
            respond(404, JSON, _error(f"This port serves only {', '.join(self._routes)}."))
        elif method not in ("GET", "HEAD"):
            respond(405, JSON, _error("Use GET."))
        else:
            route(respond)

    def _accept(self) -> None:
        with suppress(OSError):
            client, _ = self._listening.accept()
            client.setblocking(False)
            if len(self.connections) >= MOST:
                self.drop(next(iter(self.connections)))
            connection = _HealthConnection(self, client)
            self.connections[connection] = None
            self.selector.register(client, selectors.EVENT_READ, connection.read)


def _error(message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return msgspec.json.encode({"error": error})
