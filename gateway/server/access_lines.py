"""Fills a line of the access log while a request is answered."""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from time import perf_counter
from typing import Any

from litestar.types import Receive, Send

from gateway.telemetry.access_log import AccessLine, AccessLog, now

LINE = "foreword.access"
LEFT = 499


class Proxies:
    """The reverse proxies whose `x-forwarded-for` is believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(each, strict=False) for each in trusted]

    def client(self, scope: Any) -> str:
        """Return the client's address: the last one in `x-forwarded-for` that no trusted proxy has, if a trusted proxy
        sent the request. Everything before that address may be invented by the client.
        """
        address = scope["client"][0] if scope.get("client") else ""
        if not self._networks or not self._trusts(address):
            return str(address)
        given = b",".join([value for name, value in scope["headers"] if name == b"x-forwarded-for"])
        for hop in reversed(given.decode("latin-1").split(",")):
            hop = hop.strip()
            if _address(hop) is None:
                break
            address = hop
            if not self._trusts(hop):
                break
        return str(address)

    def _trusts(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # a socket for both families shows an IPv4 peer as ::ffff:10.0.0.1
    return getattr(address, "ipv4_mapped", None) or address


def line_of(scope: Any) -> AccessLine | None:
    """Return the line of this request, or None if there is no access log."""
    line: AccessLine | None = scope.get(LINE)
    return line


async def logged(
    log: AccessLog,
    proxies: Proxies,
    answer: Callable[[Any, Receive, Send], Awaitable[None]],
    scope: Any,
    receive: Receive,
    send: Send,
) -> None:
    """Answer the request, and write its line."""
    began = perf_counter()
    line = scope[LINE] = AccessLine(now(), proxies.client(scope), "", scope.get("method", "GET"), scope["path"])
    status = 0

    async def noting(message: Any) -> None:
        nonlocal status
        if message["type"].endswith("http.response.start"):
            status = message["status"]
        elif message["type"] == "websocket.accept":
            status = 101
        await send(message)

    try:
        await answer(scope, receive, noting)
    finally:
        line.status = line.status or status or LEFT
        line.ms = round((perf_counter() - began) * 1000, 3)
        log.write(line)
