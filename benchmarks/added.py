"""Measures what a gateway adds to the latency of requests, beside nginx and its peers, in one run.

The upstream answers after 20 ms. `wrk` asks it directly and through each gateway, in interleaved rounds, over 1, 16 and
64 connections. What is added is a percentile minus the same percentile of the direct requests. Then bodies of 100,000
tokens are sent over 4 connections. Memory is that of the largest process before any request and after all of them.
"""

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
from harness import foreword, nginx, peers
from harness.load import Load, script, wrk
from harness.measure import settle
from harness.peers import Running
from harness.processes import Process, free_port, heaviest, rss_bytes
from harness.report import table

DELAY_MS = 20
CONNECTIONS = (1, 16, 64)
LARGE = 4
"""The number of connections for large bodies."""
LARGE_WORDS = 90_000
"""About 100,000 tokens, 0.5 MB."""
DIRECT = "the upstream itself"
QUESTION = "What is the capital of France? Answer in one short sentence."


@dataclass
class Target:
    """One gateway, and what was measured with each kind of load."""

    name: str
    running: Running
    scripts: tuple[Path, Path]
    idle_mb: float
    loads: dict[str, list[Load]] = field(default_factory=dict)
    cpu_us: list[float] = field(default_factory=list)

    def middle(self, load: str) -> tuple[float, float]:
        """Return the medians of p50 and p99 in ms."""
        rounds = self.loads[load]
        return statistics.median(one.p50_ms for one in rounds), statistics.median(one.p99_ms for one in rounds)


@click.command()
@click.option(
    "--peers", "peers_folder", type=click.Path(path_type=Path), help="The folder in which peers are installed."
)
@click.option("--no-peers", is_flag=True, help="Run only nginx and Foreword.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=4, show_default=True, help="Seconds per round, gateway and number of connections.")
def added(peers_folder: Path | None, no_peers: bool, rounds: int, seconds: int) -> None:
    """Print what gateways add to p50 and p99, the cost of large bodies, and memory."""
    folder = peers_folder or peers.default_folder()
    missing = {} if no_peers else peers.install(folder)
    with tempfile.TemporaryDirectory(prefix="foreword-added-") as scratch, ExitStack() as stack:
        targets = _start_all(Path(scratch), None if no_peers else folder, missing, stack)
        for number in range(rounds):
            for target in targets:
                _measure(target, seconds)
                click.echo(f"round {number + 1}: {target.name}", err=True)
        _report(targets, missing, rounds, seconds)


def _start_all(scratch: Path, installed: Path | None, missing: dict[str, str], stack: ExitStack) -> list[Target]:
    port = free_port()
    program = str(Path(__file__).parent / "harness" / "delayed_upstream.py")
    path = {"PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))}
    upstream = Process([sys.executable, program, str(port), str(DELAY_MS)], scratch / "upstream.log", path)
    stack.callback(upstream.stop)
    upstream.wait_port(port)
    starts: dict[str, Callable[[], Running]] = {
        DIRECT: lambda: Running(upstream, port),
        "nginx proxy_pass": lambda: Running(*nginx.proxy(scratch / "proxy", port)),
        "Foreword, pass-through": lambda: Running(*foreword.start(scratch / "off", foreword.PASS_THROUGH, port)),
        "Foreword, records": lambda: Running(*foreword.start(scratch / "recorded", foreword.RECORDED, port)),
    }
    targets = []
    for name, running in peers.start_with_peers(starts, installed, scratch, port, missing, stack):
        settle(running.process)
        idle = rss_bytes(heaviest(running.process.pid)) / 1e6
        targets.append(Target(name, running, _scripts(scratch, name, running), idle))
    return targets


def _scripts(scratch: Path, name: str, running: Running) -> tuple[Path, Path]:
    headers = {"content-type": "application/json", **running.headers}
    file = "".join(letter for letter in name if letter.isalnum())
    words = " ".join(f"word{number % 977}" for number in range(LARGE_WORDS))
    small, large = (
        json.dumps({"model": running.model, "messages": [{"role": "user", "content": text}], "temperature": 0.2})
        for text in (QUESTION, words)
    )
    return script(scratch, f"{file}-small", small, headers), script(scratch, f"{file}-large", large, headers)


def _measure(target: Target, seconds: int) -> None:
    running = target.running
    small, large = target.scripts
    for connections in CONNECTIONS:
        wrk(running.port, running.path, small, 1, connections=connections)
        load = wrk(running.port, running.path, small, seconds, connections=connections)
        target.loads.setdefault(str(connections), []).append(load)
    wrk(running.port, running.path, large, 1, connections=LARGE)
    settle(running.process)
    before = running.process.cpu_s()
    load = wrk(running.port, running.path, large, seconds, connections=LARGE)
    settle(running.process)
    target.cpu_us.append((running.process.cpu_s() - before) * 1e6 / max(1, load.requests))
    target.loads.setdefault("large", []).append(load)


def _report(targets: list[Target], missing: dict[str, str], rounds: int, seconds: int) -> None:
    click.echo(f"an upstream of {DELAY_MS} ms, {rounds} interleaved rounds of {seconds} s, medians, added ms\n")
    direct = targets[0]
    kinds = [*map(str, CONNECTIONS), "large"]
    head = ["gateway"]
    for kind in kinds:
        words = f"{LARGE} large" if kind == "large" else kind
        head += [f"p50, {words}", f"p99, {words}"]
    head += ["CPU us, large", "idle MB", "after MB", "errors"]
    rows = []
    for target in targets:
        row = [target.name]
        for kind in kinds:
            ours, bare = target.middle(kind), direct.middle(kind)
            shown = ours if target is direct else tuple(mine - its for mine, its in zip(ours, bare, strict=True))
            row += [f"{value:.2f}" for value in shown]
        errors = sum(load.errors for loads in target.loads.values() for load in loads)
        after = rss_bytes(heaviest(target.running.process.pid)) / 1e6
        row += [f"{statistics.median(target.cpu_us):,.0f}", f"{target.idle_mb:.0f}", f"{after:.0f}", str(errors)]
        rows.append(row)
    click.echo(table(head, rows))
    for name, reason in missing.items():
        click.echo(f"MISSING {name}: {reason}")


if __name__ == "__main__":
    added()
