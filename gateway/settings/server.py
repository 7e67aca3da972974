"""The table `[server]`: the address, the limits and the timeouts."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.settings.numbers import Count, Seconds


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """`[server]`: the address and port of the gateway, and its limits."""

    host: str = "127.0.0.1"
    """The address to listen on. Any other than loopback needs at least one `[keys.x]`."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 8080
    """The port to listen on."""
    workers: Count = 1
    """Worker processes. More than one needs `[state] kind = "redis"` and a store that several processes may open."""
    max_body_mb: Count = 32
    """A larger request body is refused with 413."""
    closing_event: bool = True
    """Whether chat streams with sources may end with an event of the gateway's own, whose `choices` are empty. A
    request can override it with `foreword.closing_event`."""
    secret: str = ""
    """The secret from which the marks around retrieved passages are made (`env:NAME`). The same passages get the same
    marks, so that a model's prompt cache knows them. Left out: one that the gateway makes once and keeps in the data
    folder. Gateways that share a model's cache need the same secret."""
    health_port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    """A second port with `/health/live`, `/health/ready` and `/metrics`, which answers even if the first port is
    overloaded. Left out: `port` + 1, if that is free; 0: none."""
    max_connections: Count = 8192
    """The most connections of each worker. At this number the connection that has been idle for longest is closed to
    accept a new one; if none is idle, new ones wait. Never more than half of the files that the process may open."""
    max_requests: Count = 4096
    """The most requests that each worker handles at a time. A further one is refused with 503 and `retry-after`."""
    head_timeout_s: Seconds = 30.0
    """The longest time for the head of a request to arrive."""
    idle_timeout_s: Seconds = 75.0
    """How long an idle connection stays open for the next request."""
    body_timeout_s: Seconds = 300.0
    """The longest time for the body of a request to arrive; after it the request is refused with 408."""
    body_pause_s: Seconds = 30.0
    """The longest pause within a body."""
    write_timeout_s: Seconds = 30.0
    """A client is disconnected if it reads less than 1,000 bytes a second of its answer for this long."""
    drain_notice_s: Annotated[float, Meta(ge=0)] = 1.0
    """When the server stops, `/health/ready` answers 503 for this long before the port closes. Behind a load balancer,
    make it longer than the time between two of its probes."""
    drain_s: Annotated[float, Meta(ge=0)] = 25.0
    """After that, running requests have this long to finish. A stream that is then cut gets an error event."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may call the gateway from a browser (CORS), such as `https://app.example.com`; `*`:
    any. Left out: none. A page sends its key as a bearer token."""
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    """The lowest level of messages that are written to standard error."""


@lru_cache(maxsize=64)  # called with each request's Host header
def is_loopback(host: str) -> bool:
    """Whether an address with that name can be reached only from this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False  # this is a name, such as 127.example.com, whose owner can point it to any address
