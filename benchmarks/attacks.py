"""Attacks a gateway and injects faults, and checks that other clients are still served.

Each attack gets its own gateway in front of a slow upstream. Meanwhile another process requests `/health/live` fifty
times a second on the health port, and sends ordinary requests. The gateway withstands an attack if every health check
was answered within 100 ms (or, on a busy machine, as fast as without the attack), every ordinary request got an answer
or a 503, and the attack's own check passes.
"""

import asyncio
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
from harness import foreword
from harness.probe import Probe, Seen
from harness.processes import HOST, NotUp, Process, free_port, heaviest, rss_bytes, tree
from harness.report import table

KEY = "key-of-an-attacker"
LATE_MS = 100.0
CONFIG = """
health_port = {health}
drain_notice_s = 0.5
{server}
[prompt]
mode = "off"
templates = []
[records]
drain_s = 0.2
[keys.attacker]
sha256 = "{digest}"
admin = true
requests_per_minute = 1000000
[backends.up]
kind = "openai"
base_url = "http://{{host}}:{{upstream}}/v1"
max_connections = 5000
models = ["*"]
{more}
"""
HERE = Path(__file__).resolve().parent


@dataclass
class Attacked:
    """A gateway under attack."""

    process: Process
    port: int
    health: int
    folder: Path

    def worker(self) -> int:
        return next(pid for pid in tree(self.process.pid) if pid != self.process.pid)

    def rss_mb(self) -> float:
        return rss_bytes(heaviest(self.process.pid)) / 2**20

    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def live(self) -> int:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.health}/health/live", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@dataclass
class Outcome:
    """The result of an attack's own check. `seen` is what the other process observed."""

    held: bool
    figures: str
    seen: Seen | None = None


@contextmanager
def gateway(scratch: Path, server: str = "", more: str = "") -> Iterator[Attacked]:
    """Start a gateway in a folder of its own, in front of a slow upstream."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    upstream_port, health = free_port(), free_port()
    program = str(HERE / "harness" / "slow_upstream.py")
    upstream = Process(
        [sys.executable, program, str(upstream_port)], folder / "upstream.log", {"PYTHONPATH": str(HERE)}
    )
    try:
        upstream.wait_port(upstream_port)
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        text = CONFIG.format(health=health, server=server, digest=digest, more=more)
        process, port = foreword.start(folder / "gateway", text, upstream_port)
        try:
            yield Attacked(process, port, health, folder / "gateway")
        finally:
            process.stop()
    finally:
        upstream.stop()


def request(model: str, *, stream: bool = False, length: int | None = None) -> bytes:
    """Return a chat request. `length` announces a longer body than is sent."""
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {KEY}\r\n"
    return (head + f"content-length: {length or len(body)}\r\n\r\n").encode() + body


def _connect(port: int, count: int, first: bytes = b"") -> list[socket.socket]:
    connections = []
    for _ in range(count):
        with suppress(OSError):
            connection = socket.create_connection((HOST, port), timeout=10)
            connection.sendall(first)
            connections.append(connection)
    return connections


def _open_still(connections: list[socket.socket]) -> int:
    """Return how many connections the gateway has left open."""
    count = 0
    for connection in connections:
        connection.setblocking(False)
        try:
            count += bool(connection.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count


def _held_open(count: int, first: bytes, server: str = "") -> Callable[[Path], Outcome]:
    """Open connections that send `first` and nothing more."""

    def attack(scratch: Path) -> Outcome:
        with gateway(scratch, server) as attacked, Probe(attacked.port, attacked.health, KEY) as probe:
            connections = _connect(attacked.port, count, first)
            time.sleep(8)
            left = _open_still(connections)
            for connection in connections:
                connection.close()
        figures = f"{len(connections):,} opened, {left:,} still open after 8 s"
        return Outcome(len(connections) == count, figures, probe.seen)

    return attack


def _slow_readers(scratch: Path) -> Outcome:
    with gateway(scratch, "write_timeout_s = 10") as attacked:
        before = attacked.rss_mb()
        with Probe(attacked.port, attacked.health, KEY) as probe:
            connections = _connect(attacked.port, 40, request("big"))
            time.sleep(5)
            during = attacked.rss_mb()
            time.sleep(25)  # twice the time limit and a margin, because bytes that the system buffered count as read
            after = attacked.rss_mb()
            figure = _metric(attacked, "foreword_worker_requests")
        for connection in connections:
            connection.close()
    figures = (
        f"RSS {before:,.0f} MB, {during:,.0f} while they wait, {after:,.0f} after 30 s; {figure:.0f} under way then"
    )
    return Outcome(figure <= 1, figures, probe.seen)


def _metric(attacked: Attacked, name: str) -> float:
    with urllib.request.urlopen(f"http://{HOST}:{attacked.health}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))


def _many_streams(count: int, pieces: int) -> Callable[[Path], Outcome]:
    """Open streams of two pieces a second, all at once."""

    def attack(scratch: Path) -> Outcome:
        with gateway(scratch) as attacked, Probe(attacked.port, attacked.health, KEY) as probe:
            began = attacked.process.cpu_s()
            ends = asyncio.run(_streams(attacked.port, count, pieces))
            cpu = (attacked.process.cpu_s() - began) * 1e6 / max(1, count * pieces)
            rss = attacked.rss_mb()
        figures = f"{ends['whole']:,} of {count:,} whole, {cpu:.0f} µs of CPU a piece, RSS {rss:,.0f} MB"
        return Outcome(ends["whole"] == count, figures, probe.seen)

    return attack


async def _streams(port: int, count: int, pieces: int) -> Counter[str]:
    ends: Counter[str] = Counter()

    async def read() -> None:
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(request(f"stream-{pieces}", stream=True))
            said = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), pieces * 0.5 + 60)
            ends["whole" if b"[DONE]" in said and said.count(b"data: ") == pieces + 2 else "cut"] += 1
            writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            ends[type(error).__name__] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(read())
            if number % 50 == 49:
                await asyncio.sleep(0.05)
    return ends


def _killed_worker(scratch: Path) -> Outcome:
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


def _killed_twice(scratch: Path) -> Outcome:
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


def _reloads(scratch: Path) -> Outcome:
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


def _drained(scratch: Path) -> Outcome:
    """Stop the gateway while streams of 20 s run, with a drain time of 3 s."""
    with gateway(scratch, "drain_s = 3") as attacked:
        connections = _connect(attacked.port, 25, request("stream-40", stream=True))
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


def _stalled(scratch: Path) -> Outcome:
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


def _redis(scratch: Path) -> Outcome:
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


ATTACKS: dict[str, Callable[[Path], Outcome]] = {
    "1,030 silent connections": _held_open(1030, b""),
    "9,000 silent connections": _held_open(9000, b""),
    "1,030 half-sent heads": _held_open(1030, b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"),
    "1,030 withheld bodies, valid key": _held_open(1030, request("quick", length=5000), "body_pause_s = 5"),
    "4,500 withheld bodies, valid key": _held_open(4500, request("quick", length=5000)),
    "40 clients that do not read 5 MB": _slow_readers,
    "3,000 open streams": _many_streams(3000, 40),
    "kill -9 of the worker": _killed_worker,
    "kill -9 twice within 5 s": _killed_twice,
    "20 reloads, half of them broken": _reloads,
    "SIGTERM while 25 streams are open": _drained,
    "a worker that stands still": _stalled,
    "Redis hangs, then dies": _redis,
}


@click.command()
@click.option("--only", default="", help="Run only attacks whose name contains this.")
def attacks(only: str) -> None:
    """Print which attacks and faults the gateway withstands, with figures."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    with tempfile.TemporaryDirectory(prefix="foreword-attacks-") as folder:
        usual = _usual(Path(folder))
        click.echo(
            f"without an attack: live {usual.p99_ms():.1f} ms at p99, {usual.worst_ms():.1f} at worst\n", err=True
        )
        for name, attack in ATTACKS.items():
            if only in name:
                rows.append([name, *_row(attack, Path(folder), usual)])
                click.echo(" | ".join(rows[-1]), err=True)
    head = ["attack", "", "live p99 ms", "worst", "ordinary requests", "figures"]
    click.echo(
        f"without an attack: live {usual.p99_ms():.1f} ms at p99, {usual.worst_ms():.1f} at worst; load average "
        f"{os.getloadavg()[0]:.1f}\n"
    )
    click.echo(table(head, rows))


def _usual(scratch: Path) -> Seen:
    with gateway(scratch) as attacked, Probe(attacked.port, attacked.health, KEY) as probe:
        time.sleep(5)
    return probe.seen


def _row(attack: Callable[[Path], Outcome], scratch: Path, usual: Seen) -> list[str]:
    try:
        outcome = attack(scratch)
    except NotUp as error:
        return ["not run", "", "", "", str(error)[:200]]
    seen = outcome.seen
    if seen is None:
        return ["held" if outcome.held else "BROKEN", "", "", "", outcome.figures]
    served = set(seen.asked) - {0, 200, 503}
    in_time = seen.worst_ms() <= max(LATE_MS, usual.worst_ms())
    held = outcome.held and in_time and not seen.asked[0] and not served and not set(seen.live) - {200}
    asked = ", ".join(f"{status}: {count}" for status, count in sorted(seen.asked.items()) if count)
    return [
        "held" if held else "BROKEN" if not outcome.held or seen.asked[0] or served else "late",
        f"{seen.p99_ms():.1f}",
        f"{seen.worst_ms():.1f}",
        asked,
        outcome.figures,
    ]


if __name__ == "__main__":
    attacks()
