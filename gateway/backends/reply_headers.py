"""Selects the headers of an upstream's answer that the client gets."""

from collections.abc import Iterable
from functools import lru_cache

from gateway.ports import Headers

NOT_PASSED_BACK = frozenset(
    {
        # headers that concern one connection (RFC 9110, 7.6.1)
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # headers that the gateway sets itself
        b"content-length",
        b"date",
        b"server",
        # headers that would control a browser in the gateway's name
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
        # headers that would make a proxy in front of the gateway send one of its own files
        b"x-accel-redirect",
        b"x-sendfile",
        b"x-reproxy-url",
    }
)
OF_THE_CODING = (b"content-encoding", b"etag", b"content-md5")
"""Headers that describe the compressed bytes. They are removed if the answer was decompressed."""
PREFIXES = (b"x-foreword-", b"access-control-", b"cross-origin-")
"""Headers with these prefixes are dropped. If the upstream is another Foreword, the client would take that upstream's
ids for ids of this gateway.
"""


def passed_back(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return those headers of an upstream's answer that the client gets, with names in lower case."""
    return tuple([header for header in headers if _passes(header[0])])


def unpacked_headers(headers: Headers) -> Headers:
    """Return the headers of an answer that was decompressed, without those that describe the compressed bytes."""
    return tuple([header for header in headers if header[0] not in OF_THE_CODING])


@lru_cache(maxsize=1024)  # the upstream chooses these names
def _passes(name: bytes) -> bool:
    return name not in NOT_PASSED_BACK and not name.startswith(PREFIXES)
