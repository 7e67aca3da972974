"""Measures what a gateway does to streams: time to the first byte, CPU per piece, and whether pieces are held back.

The upstream writes the time of sending into each piece. Each figure is measured directly at the upstream and through
each gateway, in one interleaved run.
"""

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
from harness import foreword, layer_apps, nginx, peers
from harness.peers import Running
from harness.processes import Process, free_port
from harness.reader import Reader, Seen
from harness.report import table

SHORT_PIECES = 3
PACED_PIECES, PACED_EVERY_US = 50, 10_000
LOAD_PIECES, LOAD_EVERY_US, LOAD_STREAMS = 200, 5_000, 16


@dataclass
class Target:
    name: str
    running: Running
    first_bytes: list[float] = field(default_factory=list)
    paced: list[Seen] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    """CPU of the process tree per piece, by round, with an upstream that sends at a pace."""
    rushed_us: list[float] = field(default_factory=list)
    """The same with an upstream that sends as fast as possible."""


@click.command()
@click.option(
    "--peers", "peers_folder", type=click.Path(path_type=Path), help="The folder in which peers are installed."
)
@click.option("--no-peers", is_flag=True, help="Run only nginx and Foreword.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--streams", default=30, show_default=True, help="Short streams per gateway and round.")
def streaming(peers_folder: Path | None, no_peers: bool, rounds: int, streams: int) -> None:
    """Compare first byte, pace and CPU of streams through gateways."""
    folder = peers_folder or peers.default_folder()
    missing = {} if no_peers else peers.install(folder)
    with tempfile.TemporaryDirectory(prefix="foreword-streaming-") as scratch, ExitStack() as stack:
        targets = _start_all(Path(scratch), None if no_peers else folder, missing, stack)
        asyncio.run(_run(targets, missing, rounds, streams))
    _report(targets, missing, rounds, streams)


def _start_all(scratch: Path, installed: Path | None, missing: dict[str, str], stack: ExitStack) -> list[Target]:
    port = free_port()
    upstream = Process(
        [sys.executable, str(Path(__file__).parent / "harness" / "upstream.py"), str(port)], scratch / "up"
    )
    stack.callback(upstream.stop)
    upstream.wait_port(port)
    starts: dict[str, Callable[[], Running]] = {
        "direct": lambda: Running(upstream, port),
        "nginx proxy_pass": lambda: Running(*nginx.proxy(scratch / "proxy", port, buffering=False)),
        # our server with almost nothing in it, as a lower bound
        "* our server, sends by itself": lambda: Running(*layer_apps.start("sending", scratch / "sending", port)),
        "* our server, passes on": lambda: Running(*layer_apps.start("passing", scratch / "passing", port)),
        "Foreword, pass-through": lambda: Running(*foreword.start(scratch / "off", foreword.PASS_THROUGH, port)),
        "Foreword, records": lambda: Running(*foreword.start(scratch / "recorded", foreword.RECORDED, port)),
    }
    started = peers.start_with_peers(starts, installed, scratch, port, missing, stack)
    return [Target(name, running) for name, running in started]


async def _run(targets: list[Target], missing: dict[str, str], rounds: int, streams: int) -> None:
    for target in list(targets):  # one stream each, to report targets that do not stream
        try:
            await Reader(target.running).stream(SHORT_PIECES, 0, 20)
        except (OSError, RuntimeError, TimeoutError) as error:
            missing[target.name] = f"does not stream: {type(error).__name__} {error}"
            targets.remove(target)
    for number in range(rounds):
        await _first_bytes(targets, streams)
        for target in targets:
            target.paced.append(await Reader(target.running).stream(PACED_PIECES, PACED_EVERY_US))
        for target in targets:
            target.cpu_us.append(await _cpu_us(target, LOAD_EVERY_US))
            target.rushed_us.append(await _cpu_us(target, 0))
        click.echo(f"round {number + 1} done", err=True)


async def _cpu_us(target: Target, every_us: int) -> float:
    """Return the CPU of the process tree per piece, with many streams at once."""
    before = target.running.process.cpu_s()
    await asyncio.gather(*(Reader(target.running).stream(LOAD_PIECES, every_us) for _ in range(LOAD_STREAMS)))
    await asyncio.sleep(0.5)
    return (target.running.process.cpu_s() - before) * 1e6 / (LOAD_PIECES * LOAD_STREAMS)


async def _first_bytes(targets: list[Target], streams: int) -> None:
    """Measure one stream at each target in turn, so that other load on the machine affects all targets alike."""
    readers = [Reader(target.running) for target in targets]
    for _ in range(streams):
        for target, reader in zip(targets, readers, strict=True):
            seen = await reader.stream(SHORT_PIECES, 0)
            target.first_bytes.append(seen.first_byte_us)
    for reader in readers:
        reader.close()


def _report(targets: list[Target], missing: dict[str, str], rounds: int, streams: int) -> None:
    direct = targets[0]
    base = statistics.median(direct.first_bytes)
    base_delay = statistics.median(_delays(direct))
    rows = []
    for target in targets:
        first, delays = sorted(target.first_bytes), sorted(_delays(target))
        late = sum(seen.late for seen in target.paced)
        together = sum(len(seen.delays) - seen.reads for seen in target.paced)
        rows.append(
            [
                target.name,
                f"{statistics.median(first) / 1000:.2f}",
                f"{(statistics.median(first) - base) / 1000:+.2f}",
                f"{first[int(len(first) * 0.9)] / 1000:.2f}",
                f"{statistics.median(delays):,.0f}",
                f"{statistics.median(delays) - base_delay:+,.0f}",
                f"{delays[int(len(delays) * 0.99)]:,.0f}",
                f"{late}/{len(delays)}",
                str(together),
                f"{statistics.median(target.cpu_us):.0f}",
                f"{statistics.median(target.rushed_us):.0f}",
            ]
        )
    click.echo(
        f"{rounds} interleaved rounds; first byte: {streams} streams of {SHORT_PIECES} pieces each; pace: "
        f"{PACED_PIECES} pieces, one each {PACED_EVERY_US / 1000:g} ms; CPU: {LOAD_STREAMS} streams at once of "
        f"{LOAD_PIECES} pieces, one each {LOAD_EVERY_US / 1000:g} ms, or unpaced; cost of the request included\n"
    )
    head = [
        "gateway", "first byte ms", "added", "p90", "delay of a piece us", "added us", "p99 us",
        "after the next was sent", "arrived together", "CPU us a piece", "unpaced",
    ]  # fmt: skip
    click.echo(table(head, rows))
    for name, reason in missing.items():
        click.echo(f"MISSING {name}: {reason}")


def _delays(target: Target) -> list[float]:
    return [delay for seen in target.paced for delay in seen.delays]


if __name__ == "__main__":
    streaming()
