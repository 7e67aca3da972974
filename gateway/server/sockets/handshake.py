"""Reads the handshake of a WebSocket: the key, which a page can only send as a subprotocol, and the page's origin."""

from collections.abc import Sequence
from typing import Any

from gateway.errors import KeyNotAllowed
from gateway.server.access import single_headers
from gateway.server.cors import Cors

KEY = "openai-insecure-api-key."
"""The subprotocol with the key begins with this. A page cannot set a header."""
OF_AN_ACCOUNT = ("openai-organization.", "openai-project.")


def headers_of(scope: Any) -> dict[bytes, bytes]:
    """Return the headers by name. A key in a subprotocol stands in `authorization`, if no other key is there.

    Raises `BadRequest`.
    """
    headers = single_headers(scope)
    if not headers.get(b"authorization", b"").strip() and not headers.get(b"x-api-key", b"").strip():
        secret = next((name.removeprefix(KEY) for name in scope["subprotocols"] if name.startswith(KEY)), "")
        if secret:
            headers[b"authorization"] = b"Bearer " + secret.encode("latin-1")
    return headers


def passed_subprotocols(offered: Sequence[str], secret: bytes) -> list[str]:
    """Return the subprotocols that the backend is offered, without keys and accounts."""
    hidden = secret.decode("latin-1")
    kept = [name for name in offered if not name.startswith((KEY, *OF_AN_ACCOUNT))]
    return [name for name in kept if not (hidden and hidden in name)]


def check_origin(headers: dict[bytes, bytes], cors: Cors) -> None:
    """Raise `KeyNotAllowed` for a page of an origin that is not allowed. Browsers do not check this for WebSockets."""
    origin = headers.get(b"origin")
    if origin is None or cors.allows(origin):
        return
    if origin.lower().split(b"://")[-1] != headers.get(b"host", b"").lower():
        raise KeyNotAllowed("Web pages of this origin may not use the gateway. Add it to [server] allowed_origins.")
