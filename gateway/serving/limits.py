"""The limits of a worker: on connections, on requests, and on the time that it waits for a client."""

from msgspec import Struct

from gateway.settings.server import Server

SPARE_FILES = 200
"""Open files that the process needs besides connections: databases, logs, libraries."""


class ClientLimits(Struct, frozen=True):
    """The limits of one worker. Times are in seconds."""

    connections: int = 8192
    requests: int = 4096
    head_s: float = 30.0
    idle_s: float = 75.0
    body_s: float = 300.0
    body_pause_s: float = 30.0
    write_s: float = 30.0
    message_bytes: int = 32 * 2**20
    """The largest message of a WebSocket."""


def limits_of(server: Server, open_files: int) -> ClientLimits:
    """Compute the limits of a worker. A connection may need two files, so `open_files` also limits the connections."""
    return ClientLimits(
        connections=max(1, min(server.max_connections, (open_files - SPARE_FILES) // 2)),
        requests=server.max_requests,
        head_s=server.head_timeout_s,
        idle_s=server.idle_timeout_s,
        body_s=server.body_timeout_s,
        body_pause_s=server.body_pause_s,
        write_s=server.write_timeout_s,
        message_bytes=server.max_body_mb * 2**20,
    )


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard limit, and return the new limit."""
    import resource  # imported here, because some systems lack this module

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20
