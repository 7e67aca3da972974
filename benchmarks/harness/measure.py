"""CPU per request of a gateway under load."""

import time
from pathlib import Path

from harness.load import Load, wrk
from harness.peers import Running
from harness.processes import Process

WARM_UP_S = 1
FIRST_WARM_UP_S = 5  # runtimes that compile while they run are warm after that


def measure(running: Running, lua: Path, seconds: int, number: int) -> tuple[Load, float]:
    """Load it once: what wrk saw, and CPU in microseconds a request.

    What is still being done for earlier requests is waited for before and after, so that work
    put off (a drain into a database) counts for the requests that caused it. `number` is the
    round's: each begins at another of the different bodies.
    """
    wrk(running.port, running.path, lua, WARM_UP_S if number else FIRST_WARM_UP_S, number * 4999)
    settle(running.process)
    before = running.process.cpu_s()
    load = wrk(running.port, running.path, lua, seconds, number * 4999 + 2000)
    settle(running.process)
    return load, (running.process.cpu_s() - before) * 1e6 / max(1, load.requests)


def settle(process: Process, quiet_s: float = 0.7, limit_s: float = 60) -> None:
    """Wait until the process has nothing left to do."""
    deadline = time.monotonic() + limit_s
    last = process.cpu_s()
    while time.monotonic() < deadline:
        time.sleep(quiet_s)
        now = process.cpu_s()
        if now - last < 0.03:
            return
        last = now
