"""Faults of the machine and the operator, for `attacks.py`: killed and stalled workers, reloads, shutdown, Redis."""

import os
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.attacked import KEY, LATE_MS, Attacked, Outcome, connect, gateway, request
from harness.probe import Probe
from harness.processes import HOST, NotUp, Process, free_port, tree


def killed_worker(scratch: Path) -> Outcome:
    with gateway(scratch) as attacked:
        with Probe(attacked.port, attacked.health, KEY) as probe:
            time.sleep(2)
            before = attacked.worker()
            os.kill(before, signal.SIGKILL)
            began = time.monotonic()
            while _answered(attacked.port) != 200 and time.monotonic() - began < 30:
                pass
            back_s = time.monotonic() - began
            time.sleep(6)
        lost = probe.seen.asked[0]
        probe.seen.asked[0] = 0  # one request may be lost: the one that the killed worker was answering
        return Outcome(lost <= 1, f"answers again after {back_s:.2f} s; {lost} requests lost", probe.seen)


def _answered(port: int) -> int:
    try:
        with socket.create_connection((HOST, port), timeout=10) as connection:
            connection.sendall(request("quick"))
            return int(connection.recv(65536).split(b" ", 2)[1])
    except (OSError, IndexError):
        return 0


def killed_twice(scratch: Path) -> Outcome:
    with gateway(scratch) as attacked:
        for _ in range(2):
            before = attacked.worker()
            os.kill(before, signal.SIGKILL)
            time.sleep(1.5)
        ended = _wait_end(attacked, 10)
        said = "twice within 5 s: the server ends" in attacked.log()
        return Outcome(ended and said, f"ended: {ended}; the log says why: {said}")


def _wait_end(attacked: Attacked, limit_s: float) -> bool:
    return _wait(lambda: len(tree(attacked.process.pid)) < 2 and attacked.live() == 0, limit_s)


def reloads(scratch: Path) -> Outcome:
    """Make ten good and ten broken changes while requests arrive."""
    with gateway(scratch) as attacked:
        good = (attacked.folder / "config.toml").read_text()
        kept = taken = 0
        with Probe(attacked.port, attacked.health, KEY) as probe:
            for number in range(10):
                kept += _refused(attacked, good + "[sever]\n", number + 1)
                taken += _taken(attacked, good)
    return Outcome((kept, taken) == (10, 10), f"{taken} taken, {kept} refused", probe.seen)


def _refused(attacked: Attacked, config: str, times: int) -> bool:
    before = attacked.worker()
    (attacked.folder / "config.toml").write_text(config)
    os.kill(attacked.process.pid, signal.SIGHUP)
    said = _wait(lambda: attacked.log().count("the old one stays in use") == times)
    return said and attacked.worker() == before


def _taken(attacked: Attacked, config: str) -> bool:
    before = attacked.worker()
    (attacked.folder / "config.toml").write_text(config)
    os.kill(attacked.process.pid, signal.SIGHUP)
    return _wait(lambda: before not in tree(attacked.process.pid))


def _wait(condition: Callable[[], bool], limit_s: float = 60) -> bool:
    """Return whether the condition becomes true within the limit."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def drained(scratch: Path) -> Outcome:
    """Stop the gateway while streams of 20 s run, with a drain time of 3 s."""
    with gateway(scratch, "drain_s = 3") as attacked:
        connections = connect(attacked.port, 25, request("stream-40", stream=True))
        time.sleep(2)
        os.kill(attacked.process.pid, signal.SIGTERM)
        said = [_rest(connection) for connection in connections]
        ended = _wait_end(attacked, 15)
        told = sum(b"server_busy" in one for one in said)
        spooled = list((attacked.folder / "data").rglob("*.db"))
        stored = _stored(spooled[0]) if spooled else 0
    figures = f"{told} of 25 streams end with an error event, {stored} of 25 are recorded, ended: {ended}"
    return Outcome(ended and told == stored == 25, figures)


def _stored(database: Path) -> int:
    with sqlite3.connect(database) as connection:
        return int(connection.execute("SELECT count(*) FROM exchanges WHERE ending = 'failed'").fetchone()[0])


def _rest(connection: socket.socket) -> bytes:
    said = b""
    connection.settimeout(20)
    with suppress(OSError):
        while piece := connection.recv(65536):
            said += piece
    return said


def stalled(scratch: Path) -> Outcome:
    with gateway(scratch) as attacked:
        before = attacked.live()
        worker = attacked.worker()
        os.kill(worker, signal.SIGSTOP)
        time.sleep(6)
        during = attacked.live()
        os.kill(worker, signal.SIGCONT)
        time.sleep(1.5)
        after = attacked.live()
    return Outcome(
        (before, during, after) == (200, 503, 200), f"live: {before}, stopped for 6 s: {during}, then {after}"
    )


def redis_outage(scratch: Path) -> Outcome:
    """Stop Redis from answering, then kill it."""
    program = shutil.which("redis-server")
    if program is None:
        raise NotUp("redis-server is not installed")
    port = free_port()
    redis = Process([program, "--port", str(port), "--save", ""], scratch / "redis.log")
    try:
        redis.wait_port(port)
        with gateway(scratch, more=f'[state]\nkind = "redis"\nurl = "redis://{HOST}:{port}"\n') as attacked:
            usual = _median_ms(attacked.port)
            os.kill(redis.pid, signal.SIGSTOP)
            hung = _median_ms(attacked.port)
            os.kill(redis.pid, signal.SIGKILL)
            gone = _median_ms(attacked.port)
            lines = attacked.log().count("\n")
    finally:
        redis.stop()
    figures = (
        f"a request takes {usual:.1f} ms, {hung:.1f} while it hangs, {gone:.1f} when it is gone; {lines} log lines"
    )
    return Outcome(max(hung, gone) < usual + 5 + LATE_MS / 10, figures)


def _median_ms(port: int) -> float:
    took = []
    for _ in range(51):
        began = time.monotonic()
        if _answered(port) != 200:
            return float("inf")
        took.append((time.monotonic() - began) * 1000)
    return sorted(took)[25]
