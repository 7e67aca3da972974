"""Lets web pages of the origins in `[server] allowed_origins` call the gateway (CORS).

A page sends its key as a bearer token, like a program. Cookies and remembered passwords are never allowed.
"""

from collections.abc import Sequence
from typing import Any

from litestar.types import Scope, Send

ANY = "*"
METHODS = b"GET, POST, DELETE, OPTIONS"
REMEMBERED_S = b"600"
"""How many seconds a browser may reuse the answer to a preflight."""
VARY = (b"vary", b"origin")


class Cors:
    """The allowed origins. `*` means any."""

    def __init__(self, allowed_origins: Sequence[str]) -> None:
        self._any = ANY in allowed_origins
        self._origins = frozenset(origin.lower().encode() for origin in allowed_origins)

    def allows(self, origin: bytes | None) -> bool:
        """Return whether pages of this origin may use the gateway."""
        return origin is not None and (self._any or origin.lower() in self._origins)

    def answering(self, scope: Scope, send: Send) -> Send:
        """Wrap `send` to add the headers that let a page read the answer. Errors and streams get these headers, too."""
        origin = _header(scope, b"origin")
        head = [VARY]
        if origin is not None and self.allows(origin):
            # the answer depends on the origin, so a cache must not give it to another origin's page
            head += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", b"*")]

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [pair for pair in message["headers"] if not pair[0].lower().startswith(b"access-control-")]
                message = {**message, "headers": [*own, *head]}
            await send(message)

        return send_with_headers

    async def answer_preflight(self, scope: Scope, send: Send) -> bool:
        """Answer a preflight from an allowed origin. Returns False if the request is anything else."""
        origin, method = _header(scope, b"origin"), _header(scope, b"access-control-request-method")
        if scope["method"] != "OPTIONS" or method is None or origin is None or not self.allows(origin):  # type: ignore[typeddict-item]  # an HTTP scope has a method
            return False
        head = [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", _header(scope, b"access-control-request-headers") or b"authorization"),
            (b"access-control-max-age", REMEMBERED_S),
            VARY,
        ]
        if _header(scope, b"access-control-request-private-network") == b"true":
            head.append((b"access-control-allow-private-network", b"true"))
        await send({"type": "http.response.start", "status": 204, "headers": head})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
