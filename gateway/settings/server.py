"""The table `[server]`: the address, the limits and the timeouts."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.settings.numbers import Count, Seconds


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """`[server]`: the address and port of the gateway, and its limits."""

    host: str = "127.0.0.1"
    """The address to listen on. Any address other than loopback needs at least one `[keys.x]`."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 8080
    """The port to listen on."""
    tls_cert: str = ""
    """A file with the gateway's certificate and its chain (PEM), relative to the config file. With it, the port speaks
    TLS, and no plain HTTP. A reload reads the file again. Default: plain HTTP."""
    tls_key: str = ""
    """A file with the key of `tls_cert` (PEM, without a passphrase). Default: the key is in the same file."""
    workers: Count = 1
    """The number of worker processes. More than one needs `[state] kind = "redis"` and a store that several processes
    may open."""
    max_body_mb: Count = 32
    """The largest request body. A larger one is refused with 413."""
    closing_event: bool = True
    """Whether chat streams with sources may end with an extra event, whose `choices` are empty. A request can override
    this with `foreword.closing_event`."""
    secret: str = ""
    """The marks around retrieved passages are made from this secret (`env:NAME`). With the same secret, the same
    passages get the same marks, so a model's prompt cache recognises them. Gateways that share a model's cache need the
    same secret. Default: the gateway makes a secret once and keeps it in the data folder."""
    health_port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    """A second port with `/health/live`, `/health/ready` and `/metrics`. It answers even if the first port is
    overloaded. Default: `port` + 1, if free; 0: none."""
    max_connections: Count = 8192
    """The most connections per worker. At the limit, a new connection replaces the connection that has been idle
    longest. If no connection is idle, the new one waits. The limit is at most half of the files that the process may
    open."""
    max_requests: Count = 4096
    """The most requests that a worker handles at the same time. Further requests are refused with 503 and
    `retry-after`."""
    head_timeout_s: Seconds = 30.0
    """How long the head of a request may take to arrive."""
    idle_timeout_s: Seconds = 75.0
    """How long an idle connection stays open for the next request."""
    body_timeout_s: Seconds = 300.0
    """How long the body of a request may take to arrive. A slower request is refused with 408."""
    body_pause_s: Seconds = 30.0
    """The longest pause while the body of a request arrives."""
    write_timeout_s: Seconds = 30.0
    """A client that reads its answer at less than 1,000 bytes per second for this long is disconnected."""
    drain_notice_s: Annotated[float, Meta(ge=0)] = 1.0
    """When the server stops, `/health/ready` answers 503 for this long before the port closes. Behind a load balancer,
    use a longer time than the interval between its probes."""
    drain_s: Annotated[float, Meta(ge=0)] = 25.0
    """How long running requests may take to finish after the port has closed. A stream that is still running then gets
    an error event."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies, such as `127.0.0.1` or `10.0.0.0/8`. The access log takes a client's
    address from `x-forwarded-for` only if such a proxy sent the request. Default: none."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins whose pages may call the gateway (CORS), such as `https://app.example.com`; `*`: any. Default: none.
    A page sends its key as a bearer token."""
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    """The lowest level of messages that are logged to standard error."""


@lru_cache(maxsize=64)  # called with each request's Host header
def is_loopback(host: str) -> bool:
    """Return whether `host` is `localhost` or a loopback address, so that only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False  # a name, such as 127.example.com, whose owner can point it anywhere
