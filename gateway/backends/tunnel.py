"""Reaches an upstream through an HTTP proxy: a tunnel (CONNECT, RFC 9110, 9.3.6) for TLS, whole URLs without TLS."""

import asyncio
import base64
import re
import socket
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from msgspec import Struct

HEAD_LIMIT = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
FROM_ENVIRONMENT = "environment"


class ProxyRefused(OSError):
    """The proxy does not open a tunnel. The message has its status."""


class Proxy(Struct, frozen=True):
    """An HTTP proxy. `authorization` is the value of the header `proxy-authorization`, or b""."""

    host: str
    port: int
    authorization: bytes = b""

    @property
    def url(self) -> str:
        """The URL without the credentials."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"proxy-authorization", self.authorization)] if self.authorization else []


def proxy_at(url: str) -> Proxy | None:
    """Read a proxy's URL. Returns None if it is not an `http://` URL with a host. It may hold a name and a password."""
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        return None
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
        return None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    given = b"Basic " + base64.b64encode(pair.encode()) if parts.username else b""
    return Proxy(parts.hostname, port, given)


def environment_url(scheme: str, host: str, port: int) -> str:
    """Return the URL of the proxy that the environment names for an upstream, in `HTTPS_PROXY`, `HTTP_PROXY` or
    `ALL_PROXY`. Returns "" if it names none, or if `NO_PROXY` excludes the upstream.
    """
    proxies = getproxies_environment()
    if proxy_bypass(f"{host}:{port}", proxies) or proxy_bypass(host, proxies):
        return ""
    url = proxies.get(scheme) or proxies.get("all") or ""
    return url if not url or "://" in url else f"http://{url}"


async def open_tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Return a socket whose bytes go to `host` through the proxy. Raises `OSError`, of which `ProxyRefused` is one."""
    loop = asyncio.get_running_loop()
    client = await _connect(loop, proxy)
    try:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n".encode()]
        lines += [b"%b: %b\r\n" % header for header in proxy.headers]
        await loop.sock_sendall(client, b"".join([*lines, b"\r\n"]))
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await loop.sock_recv(client, 4096)
            head += piece
            if not piece or len(head) > HEAD_LIMIT:
                raise ProxyRefused("its proxy sent no answer")
        status = _STATUS.match(head)
        if status is None or not status[1].startswith(b"2"):
            said = f"status {status[1].decode()}" if status else "no HTTP"
            raise ProxyRefused(f"its proxy refuses the connection ({said})")
    except BaseException:
        client.close()
        raise
    return client


async def _connect(loop: asyncio.AbstractEventLoop, proxy: Proxy) -> socket.socket:
    error: OSError = ProxyRefused("its proxy has no address")
    for family, kind, protocol, _, place in await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM):
        client = socket.socket(family, kind, protocol)
        client.setblocking(False)
        try:
            await loop.sock_connect(client, place)
        except OSError as failure:
            client.close()
            error = ProxyRefused("its proxy cannot be reached")
            error.__cause__ = failure
        except BaseException:
            client.close()
            raise
        else:
            return client
    raise error
