"""Ports for programs that must be told theirs."""

import os
import random
import socket
from pathlib import Path

LOWEST = 10_000
WORKERS = 16
"""Test processes that run side by side have this many shares of the ports."""
_given: set[int] = set()


def free_port() -> int:
    """Return a port that nothing listens at, and that nothing else takes before the caller's program does.

    The system gives the ports from `ip_local_port_range` to outgoing connections and to listeners that ask for any, so
    this one lies below, in the share of this test process.
    """
    system, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    ports = [port for port in range(LOWEST, int(system)) if port % WORKERS == share and port not in _given]
    random.SystemRandom().shuffle(ports)
    for port in ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise OSError(f"no port from {LOWEST} to {system} is free")
