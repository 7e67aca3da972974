"""Attacks a gateway and injects faults, and checks that other clients are still served.

Each attack gets its own gateway in front of a slow upstream. Meanwhile another process requests `/health/live` fifty
times a second on the health port, and sends ordinary requests. The gateway withstands an attack if every health check
was answered within 100 ms (or, on a busy machine, as fast as without the attack), every ordinary request got an answer
or a 503, and the attack's own check passes.
"""

import asyncio
import os
import resource
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
from harness.attacked import KEY, LATE_MS, Attacked, Outcome, connect, gateway, open_still, request
from harness.faults import drained, killed_twice, killed_worker, redis_outage, reloads, stalled
from harness.probe import Probe, Seen
from harness.processes import HOST, NotUp
from harness.report import table


def _held_open(count: int, first: bytes, server: str = "") -> Callable[[Path], Outcome]:
    """Open connections that send `first` and nothing more."""

    def attack(scratch: Path) -> Outcome:
        with gateway(scratch, server) as attacked, Probe(attacked.port, attacked.health, KEY) as probe:
            connections = connect(attacked.port, count, first)
            time.sleep(8)
            left = open_still(connections)
            for connection in connections:
                connection.close()
        figures = f"{len(connections):,} opened, {left:,} still open after 8 s"
        return Outcome(len(connections) == count, figures, probe.seen)

    return attack


def _slow_readers(scratch: Path) -> Outcome:
    with gateway(scratch, "write_timeout_s = 10") as attacked:
        before = attacked.rss_mb()
        with Probe(attacked.port, attacked.health, KEY) as probe:
            connections = connect(attacked.port, 40, request("big"))
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
            began, empty = attacked.process.cpu_s(), attacked.rss_mb()
            ends = asyncio.run(_streams(attacked.port, count, pieces))
            cpu = (attacked.process.cpu_s() - began) * 1e6 / max(1, count * pieces)
            rss = attacked.rss_mb()
        each = f"{(rss - empty) * 1024 / count:.0f} kB each"
        figures = f"{ends['whole']:,} of {count:,} whole, {cpu:.0f} µs of CPU a piece, RSS {rss:,.0f} MB, {each}"
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


ATTACKS: dict[str, Callable[[Path], Outcome]] = {
    "1,030 silent connections": _held_open(1030, b""),
    "9,000 silent connections": _held_open(9000, b""),
    "1,030 half-sent heads": _held_open(1030, b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"),
    "1,030 withheld bodies, valid key": _held_open(1030, request("quick", length=5000), "body_pause_s = 5"),
    "4,500 withheld bodies, valid key": _held_open(4500, request("quick", length=5000)),
    "40 clients that do not read 5 MB": _slow_readers,
    "3,000 open streams": _many_streams(3000, 40),
    "kill -9 of the worker": killed_worker,
    "kill -9 twice within 5 s": killed_twice,
    "20 reloads, half of them broken": reloads,
    "SIGTERM while 25 streams are open": drained,
    "a worker that stands still": stalled,
    "Redis hangs, then dies": redis_outage,
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
