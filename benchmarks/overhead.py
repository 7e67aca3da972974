"""Measures what a gateway costs per request: ours, its peers and nginx, in one run.

One nginx answers every request with the same completion. In front of it run, in interleaved rounds: nginx as a proxy,
Foreword in four configurations, TensorZero, Portkey and LiteLLM. `wrk` loads each over 32 connections. CPU is user and
system time of the gateway's whole process tree, divided by the answered requests.
"""

import hashlib
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
from harness import foreword, nginx, peers, texts
from harness.load import CONNECTIONS, Load, script, varied_script
from harness.measure import measure
from harness.peers import MODEL, Running
from harness.processes import HOST, NotUp, Process, free_port
from harness.report import table

QUESTION = "What is the capital of France? Answer in one short sentence."
ANSWER = b"The capital of France is Paris."
FULL = "Foreword, rewrite + records"
LIMITED = "Foreword, key + limit in Redis"
TWO = "* the same, two workers"
KEY = "key-of-the-benchmark"


@dataclass
class Target:
    """One gateway under load."""

    name: str
    running: Running
    lua: Path
    rounds: list[tuple[Load, float]]

    @property
    def cpu_us(self) -> float:
        return statistics.median(cpu for _, cpu in self.rounds)

    @property
    def row(self) -> list[str]:
        loads = [load for load, _ in self.rounds]
        middle = [
            statistics.median(values)
            for values in zip(*((load.rate, load.p50_ms, load.p99_ms) for load in loads), strict=True)
        ]
        spread = sorted(cpu for _, cpu in self.rounds)
        return [
            self.name,
            f"{middle[0]:,.0f}",
            f"{middle[1]:.2f}",
            f"{middle[2]:.2f}",
            f"{self.cpu_us:,.0f}",
            f"{spread[0]:,.0f}-{spread[-1]:,.0f}",
            str(sum(load.errors for load in loads)),
        ]


@click.command()
@click.option(
    "--peers", "peers_folder", type=click.Path(path_type=Path), help="The folder in which peers are installed."
)
@click.option("--no-peers", is_flag=True, help="Run only nginx and Foreword.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=4, show_default=True, help="Seconds per round and gateway.")
@click.option("--only", default="", help="Run only targets whose name contains this.")
@click.option(
    "--classifier",
    type=click.Path(path_type=Path, exists=True),
    help="The data folder of a gateway with a trained classifier, which is copied instead of training one.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the figures to this file.")
def overhead(
    peers_folder: Path | None,
    no_peers: bool,
    rounds: int,
    seconds: int,
    only: str,
    classifier: Path | None,
    json_file: Path | None,
) -> None:
    """Compare requests per second, latency and CPU time per request of gateways."""
    folder = peers_folder or peers.default_folder()
    missing = {} if no_peers else peers.install(folder)
    with tempfile.TemporaryDirectory(prefix="foreword-overhead-") as scratch, ExitStack() as stack:
        foreword.copy_classifier(classifier, Path(scratch) / "full")
        targets = _start_all(Path(scratch), None if no_peers else folder, only, missing, stack)
        for number in range(rounds):
            for target in targets:
                target.rounds.append(measure(target.running, target.lua, seconds, number))
                click.echo(f"round {number + 1} {target.name}: {target.rounds[-1][1]:,.0f} us", err=True)
    _report(targets, missing, rounds, seconds)
    if json_file:
        json_file.write_text(json.dumps({t.name: [(vars(load), cpu) for load, cpu in t.rounds] for t in targets}))


def _start_all(
    scratch: Path, installed: Path | None, only: str, missing: dict[str, str], stack: ExitStack
) -> list[Target]:
    upstream, port = nginx.fixed(scratch / "upstream")
    stack.callback(upstream.stop)
    starts: dict[str, Callable[[], Running]] = {
        "nginx proxy_pass": lambda: _plain(nginx.proxy(scratch / "proxy", port)),
        "Foreword, pass-through": lambda: _plain(foreword.start(scratch / "off", foreword.PASS_THROUGH, port)),
        "Foreword, records": lambda: _plain(foreword.start(scratch / "recorded", foreword.RECORDED, port)),
        LIMITED: lambda: _limited(scratch / "limited", port, stack),
        TWO: lambda: _limited(scratch / "two", port, stack, "workers = 2\n"),
        FULL: lambda: _plain(foreword.start(scratch / "full", foreword.FULL_PATH, port, ready_s=1200)),
    }
    targets = []
    for name, running in peers.start_with_peers(starts, installed, scratch, port, missing, stack, only):
        target = Target(name, running, _script(scratch, name, running), [])
        wrong = _wrong(target)
        if wrong:
            missing[name] = wrong
        else:
            targets.append(target)
    return targets


def _plain(started: tuple[Process, int]) -> Running:
    return Running(*started)


def _limited(folder: Path, upstream: int, stack: ExitStack, server: str = "") -> Running:
    """Start a pass-through whose requests need a key, and are counted in Redis against a limit out of reach."""
    program, port = shutil.which("redis-server"), free_port()
    if program is None:
        raise NotUp("redis-server is not installed")
    redis = Process([program, "--port", str(port), "--save", ""], folder.with_name(f"{folder.name}-redis.log"))
    stack.callback(redis.stop)
    redis.wait_port(port)
    more = (
        f'[state]\nkind = "redis"\nurl = "redis://{HOST}:{port}"\n[keys.app]\n'
        f'sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"\nrequests_per_minute = 1000000000\n'
    )
    process, gateway = foreword.start(folder, server + foreword.PASS_THROUGH + more, upstream)
    return Running(process, gateway, headers={"authorization": f"Bearer {KEY}"})


def _script(scratch: Path, name: str, running: Running) -> Path:
    headers = {"content-type": "application/json", **running.headers}
    file = "".join(letter for letter in name if letter.isalnum())
    if name == FULL:
        bodies = [json.dumps(_ask(running.model, text)) for text in _first_tier(running)]
        return varied_script(scratch, file, bodies, headers)
    return script(scratch, file, json.dumps(_ask(running.model, QUESTION)), headers)


def _ask(model: str, text: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0.2}


def _first_tier(running: Running) -> list[str]:
    """Return prompts with those wordings that the first tier decides. The second tier takes some 15 ms for a prompt."""
    decided = []
    for ask in texts.ASKS:
        shown = _preview(running, next(text for text in texts.summaries(40) if text.startswith(ask)))
        if '"static"' in shown and '"rewrite"' in shown:
            decided.append(ask)
    click.echo(f"{FULL}: the first tier decides {len(decided)} of {len(texts.ASKS)} wordings", err=True)
    return [text for text in texts.summaries(40_000) if text.startswith(tuple(decided))] if decided else []


def _wrong(target: Target) -> str:
    """Return why this target must not be measured, or "": it answers differently."""
    running = target.running
    try:
        answer = foreword.post(running.port, running.path, _ask(running.model, QUESTION), running.headers)
    except OSError as error:
        return f"gave no answer: {error} {running.process.tail()[-200:]}"
    return "" if ANSWER in answer else f"gave another answer: {answer[:200]!r}"


def _preview(running: Running, text: str) -> str:
    return foreword.post(running.port, "/v1/foreword/preview", _ask(running.model, text)).decode()


def _report(targets: list[Target], missing: dict[str, str], rounds: int, seconds: int) -> None:
    click.echo(f"{CONNECTIONS} connections, {rounds} interleaved rounds of {seconds} s, medians, model {MODEL}\n")
    head = ["gateway", "requests/s", "p50 ms", "p99 ms", "CPU us a request", "lowest-highest", "errors"]
    click.echo(table(head, [target.row for target in targets]))
    ours = next((target for target in targets if target.name == "Foreword, pass-through"), None)
    if ours and ours.cpu_us:
        for target in targets:
            click.echo(f"{target.name}: {target.cpu_us / ours.cpu_us:.2f} times Foreword's pass-through")
    for name, reason in missing.items():
        click.echo(f"MISSING {name}: {reason}")


if __name__ == "__main__":
    overhead()
