"""Which of an upstream's headers a client gets to see."""

from collections.abc import Iterable
from functools import lru_cache

from gateway.ports import Headers

NOT_PASSED_BACK = frozenset(
    {
        # what belongs to one connection (RFC 9110, 7.6.1)
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # what the gateway sets itself
        b"content-length",
        b"date",
        b"server",
        # what would steer a browser in the gateway's name
        b"set-cookie",
        b"set-cookie2",
        b"alt-svc",
        b"strict-transport-security",
        b"www-authenticate",
        b"authentication-info",
        b"clear-site-data",
        b"content-security-policy",
        b"content-security-policy-report-only",
        b"permissions-policy",
        b"service-worker-allowed",
        b"nel",
        b"report-to",
        b"reporting-endpoints",
        b"refresh",
        # what would make a proxy in front of the gateway send a file of its own
        b"x-accel-redirect",
        b"x-sendfile",
        b"x-reproxy-url",
    }
)
PREFIXES = (b"x-foreword-", b"access-control-", b"cross-origin-")
"""Of more such headers. The ids of a Foreword behind this one would be taken for this one's."""


def passed_back(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers that go on to the client. Names are in lower case."""
    return tuple([header for header in headers if _passes(header[0])])


@lru_cache(maxsize=1024)  # upstreams choose the names
def _passes(name: bytes) -> bool:
    return name not in NOT_PASSED_BACK and not name.startswith(PREFIXES)
