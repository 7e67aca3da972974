"""A WebSocket at a remote server. Messages stay whole and unchanged.

The library `websockets` writes and reads the frames, answers pings, and asks a silent server whether it is still there.
"""

import logging
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.backends.call import UNREACHABLE
from gateway.backends.remote_settings import HostSettings
from gateway.backends.reply_headers import passed_back
from gateway.backends.tunnel import Proxy, open_tunnel
from gateway.errors import BackendFailed
from gateway.ports import Headers, Reply, SocketEnd
from gateway.wire.close_codes import LOST, NO_CODE

CLOSE_S = 5.0
PING_S = 20.0
OWN = ("host", "connection", "upgrade", "origin", "content-type", "accept")
"""Headers that the handshake has anyway, or that only other requests need."""


class RemoteSocket:
    """An open WebSocket. See `ports.BackendSocket`."""

    def __init__(self, connection: Any) -> None:
        self.subprotocol: str = connection.subprotocol or ""
        self._connection = connection

    async def receive(self) -> str | bytes | SocketEnd:
        from websockets.exceptions import ConnectionClosed

        try:
            message: str | bytes = await self._connection.recv()
        except ConnectionClosed as closed:
            ending = closed.rcvd or (closed.sent if closed.sent and closed.sent.code != LOST else None)
            return SocketEnd(ending.code, ending.reason) if ending is not None else SocketEnd(LOST)
        return message

    async def send(self, message: str | bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(message)
        except ConnectionClosed:
            return  # `receive` says how it ended

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(None if code == NO_CODE else code, reason)


async def open_socket(
    name: str,
    settings: HostSettings,
    url: str,
    headers: Mapping[str, str],
    passed: Headers,
    subprotocols: Sequence[str],
    *,
    most_bytes: int,
    tls: ssl.SSLContext | None,
    proxy: Proxy | None,
) -> RemoteSocket | Reply:
    """Open a WebSocket at the backend `name`. If the server refuses with a status, its answer is returned.

    `headers` are the backend's own, and `passed` the client's. Raises `BackendFailed`.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

    class Connect(connect):
        """Follows no redirect: the server could then send the key anywhere."""

        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc

    own = {key.lower(): value for key, value in headers.items()}
    pairs = [
        (key.decode("latin-1"), value.decode("latin-1"))
        for key, value in passed
        if not key.startswith(b"sec-websocket-")
    ]
    pairs = [pair for pair in pairs if pair[0] not in own and pair[0] not in OWN]
    pairs += [(key, value) for key, value in own.items() if key not in OWN]
    more: dict[str, Any] = {"ssl": tls} if tls is not None else {}
    try:
        opening = Connect(
            url,
            additional_headers=pairs,
            user_agent_header=None,
            subprotocols=list(subprotocols) or None,  # type: ignore[arg-type]  # a NewType of str
            compression=None,
            proxy=None,
            open_timeout=settings.connect_timeout_s + settings.idle_timeout_s,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=CLOSE_S,
            max_size=most_bytes,
            logger=_quiet(),
            **more,
        )
        if proxy is not None:
            place = opening.ws_uri
            opening.create_connection_kwargs["sock"] = await open_tunnel(proxy, place.host, place.port)
        return RemoteSocket(await opening)
    except InvalidStatus as refusal:
        return _refusal(name, refusal.response)
    except (InvalidHandshake, InvalidURI) as error:
        raise BackendFailed(f"The backend {name!r} opens no WebSocket here: {error}.") from error
    except (OSError, TimeoutError) as error:
        raise BackendFailed(f"The backend {name!r} cannot be reached.", code=UNREACHABLE) from error


def _quiet() -> logging.Logger:
    """Return a silent logger. The library logs an error with its trace for each lost backend, but the record says how a
    WebSocket ended.
    """
    log = logging.getLogger("foreword.backend_sockets")
    log.disabled = True
    return log


def _refusal(name: str, response: Any) -> Reply:
    """Return the server's answer in place of a WebSocket."""
    status = response.status_code
    if not 400 <= status < 600:
        raise BackendFailed(f"The backend {name!r} opened no WebSocket. Its answer has the status {status}.")
    pairs = [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in response.headers.raw_items()]
    return Reply(status, passed_back(pairs), response.body or b"", backend=name)
