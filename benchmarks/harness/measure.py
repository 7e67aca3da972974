"""Measures a gateway's CPU time per request under load."""

import time
from pathlib import Path

from harness.load import Load, wrk
from harness.peers import Running
from harness.processes import Process

WARM_UP_S = 1
FIRST_WARM_UP_S = 5  # runtimes with a just-in-time compiler are warm after this time


def measure(running: Running, lua: Path, seconds: int, number: int) -> tuple[Load, float]:
    """Load a gateway once. Returns wrk's results, and CPU microseconds per request.

    Waits before and after until earlier work is done, so work put off (such as writing to a database) counts for the
    requests that caused it. Each round `number` starts at another of the bodies.
    """
    wrk(running.port, running.path, lua, WARM_UP_S if number else FIRST_WARM_UP_S, number * 4999)
    settle(running.process)
    before = running.process.cpu_s()
    load = wrk(running.port, running.path, lua, seconds, number * 4999 + 2000)
    settle(running.process)
    return load, (running.process.cpu_s() - before) * 1e6 / max(1, load.requests)


def settle(process: Process, quiet_s: float = 0.7, limit_s: float = 60) -> None:
    """Wait until the process is idle."""
    deadline = time.monotonic() + limit_s
    last = process.cpu_s()
    while time.monotonic() < deadline:
        time.sleep(quiet_s)
        now = process.cpu_s()
        if now - last < 0.03:
            return
        last = now
