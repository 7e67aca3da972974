"""Checks the head of a request and builds ASGI's scope from it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import httptools

from gateway.errors import BadRequest, RequestError

HEAD_LIMIT = 64 * 1024
FRAMING = frozenset((b"content-length", b"transfer-encoding"))
SPECIAL = frozenset((b"expect", b"host", b"transfer-encoding"))
"""Headers that control parsing. None may occur twice."""
VERSIONS = ("1.1", "1.0")

Header = tuple[bytes, bytes]
Address = tuple[str, int] | None


def scope_of(
    parser: Any, url: bytes, headers: list[Header], special: Mapping[bytes, bytes], *, server: Address, client: Address
) -> dict[str, Any]:
    """Build ASGI's scope from the head. Raises `BadRequest` for a head that must be refused."""
    version, method = parser.get_http_version(), parser.get_method().decode("ascii")
    if version not in VERSIONS:
        raise _with_status(BadRequest(f"HTTP/{version} is not supported; use HTTP/1.1."), 505)
    if method == "CONNECT":
        raise BadRequest("CONNECT is not supported; this is not a forward proxy.")
    if version == "1.0" and b"transfer-encoding" in special:
        raise BadRequest("HTTP/1.0 has no transfer-encoding.")
    if version == "1.1" and b"host" not in special:
        raise BadRequest("The request has no Host header.")
    path, query = _target(url)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version,
        "server": server,
        "client": client,
        "scheme": "http",
        "method": method,
        "root_path": "",
        "path": unquote(path.decode("ascii")) if b"%" in path else path.decode("ascii"),
        "raw_path": path,
        "query_string": query,
        "headers": headers,
        "state": {},
    }


def address(name: Any) -> Address:
    """Return the host and the port in a socket's name. Returns None for a Unix socket, whose name has no port."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None


def head_too_large() -> RequestError:
    return _with_status(BadRequest(f"The head of the request is larger than {HEAD_LIMIT // 1024} kB."), 431)


def _target(url: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query of the request target. Raises `BadRequest`."""
    if not url.startswith(b"/") and url != b"*":
        try:
            parts = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError:
            raise BadRequest("The target of the request is not a URL.") from None
        path, query = parts.path or b"/", parts.query or b""
    else:
        path, _, query = url.partition(b"#")[0].partition(b"?")
    if not path.isascii():
        raise BadRequest("The path of the request is not ASCII; percent-encode it.")
    return path, query


def _with_status(error: RequestError, status: int) -> RequestError:
    error.status = status
    return error
