"""Selects the client's headers that a backend gets."""

from collections.abc import Iterable

from gateway.ports import Headers
from gateway.server.access import CREDENTIALS, OF_PROXIES

NOT_PASSED_ON = frozenset(
    (
        *CREDENTIALS,
        *OF_PROXIES,
        # headers of one connection, or of the body as the gateway frames it
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # further credentials, and headers that select an account
        b"api-key",
        b"cookie",
        b"openai-organization",
        b"openai-project",
        b"proxy-authorization",
        b"x-goog-api-key",
        # the gateway reads some answers, so they must come plain
        b"accept-encoding",
        # headers that make a server handle another request than the one that was checked
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-original-url",
        b"x-rewrite-url",
        # headers of web pages
        b"origin",
        b"referer",
    )
)
PREFIXES = (b"x-foreword-", b"sec-", b"x-forwarded-", b"cf-", b"x-amz-", b"x-ms-")


def passed_on(headers: Iterable[tuple[bytes, bytes]], secret: bytes) -> Headers:
    """Return the headers for a backend. A header that contains the client's `secret` is left out, whatever its name.

    Headers that the header `connection` names belong to the connection, so they are left out too.
    """
    pairs = list(headers)
    named = {name.strip().lower() for key, value in pairs if key == b"connection" for name in value.split(b",")}
    return tuple(
        [
            (name, value)
            for name, value in pairs
            if name not in NOT_PASSED_ON
            and name not in named
            and not name.startswith(PREFIXES)
            and not (secret and secret in value)
        ]
    )
