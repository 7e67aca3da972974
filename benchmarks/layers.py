"""Measures where the gateway's microseconds go, by adding layer after layer under the same load.

Each row does everything of the row above and something more, so the difference is the cost of that addition. Rows
marked * are for comparison only. CPU is that of the whole process tree, as in `overhead.py`.
"""

import json
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
from harness import foreword, layer_apps, nginx, texts
from harness.layer_apps import PATH
from harness.load import script, varied_script
from harness.measure import measure
from harness.peers import MODEL, Running
from harness.processes import HOST, NotUp, Process
from harness.report import table

FULL_PATH = foreword.FULL_PATH
UNRECORDED = FULL_PATH.replace('policy = "full"', 'policy = "none"')
QUESTION = "What is the capital of France? Answer in one short sentence."


@dataclass
class Layer:
    name: str
    start: Callable[[Path, int], tuple[Process, int]]
    after: str = ""
    """The row to compare with, or ""."""
    varied: bool = False
    cpu_us: list[float] = field(default_factory=list)


def _app(factory: str) -> Callable[[Path, int], tuple[Process, int]]:
    return lambda folder, upstream: layer_apps.start(factory, folder, upstream)


def _on_granian(factory: str) -> Callable[[Path, int], tuple[Process, int]]:
    return lambda folder, upstream: layer_apps.start(factory, folder, upstream, layer_apps.GRANIAN)


def _gateway(config: str) -> Callable[[Path, int], tuple[Process, int]]:
    return lambda folder, upstream: foreword.start(folder, config, upstream, ready_s=1200)


def _layers() -> list[Layer]:
    return [
        Layer("* nginx proxy_pass", nginx.proxy),
        Layer("our server, raw ASGI, fixed answer", _app("raw")),
        Layer("* instead: granian", _on_granian("raw"), "our server, raw ASGI, fixed answer"),
        Layer("+ Litestar's router, ASGI handler", _app("litestar_asgi"), "our server, raw ASGI, fixed answer"),
        Layer(
            "* instead: an ordinary Litestar handler", _app("litestar_handler"), "our server, raw ASGI, fixed answer"
        ),
        Layer("+ the call to the upstream", _app("calling"), "+ Litestar's router, ASGI handler"),
        Layer("+ the gateway, mode off, no records", _gateway(foreword.PASS_THROUGH), "+ the call to the upstream"),
        Layer(
            "+ recording (spool and database)",
            _gateway(foreword.RECORDED),
            "+ the gateway, mode off, no records",
        ),
        Layer(
            "+ classify and rewrite, no records",
            _gateway(UNRECORDED),
            "+ the gateway, mode off, no records",
            varied=True,
        ),
        Layer(
            "+ classify and rewrite, and recording",
            _gateway(FULL_PATH),
            "+ classify and rewrite, no records",
            varied=True,
        ),
    ]


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=3, show_default=True)
@click.option("--only", default="", help="Run only layers whose name contains this.")
@click.option("--without", default="-", help="Skip layers whose name contains this. `classify` saves the training.")
def layers(rounds: int, seconds: int, only: str, without: str) -> None:
    """Print the CPU time per request of the gateway's layers."""
    chosen = [layer for layer in _layers() if only in layer.name and without not in layer.name]
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="foreword-layers-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        upstream, upstream_port = nginx.fixed(scratch / "upstream")
        stack.callback(upstream.stop)
        running: dict[str, Running] = {}
        for number, layer in enumerate(chosen):
            try:
                process, port = layer.start(scratch / f"layer{number}", upstream_port)
            except NotUp as error:
                missing[layer.name] = str(error)
                continue
            stack.callback(process.stop)
            running[layer.name] = Running(process, port)
        fixed, varied = _scripts(scratch)
        for number in range(rounds):
            for layer in chosen:
                if layer.name in running:
                    lua = varied if layer.varied else fixed
                    load, cpu = measure(running[layer.name], lua, seconds, number)
                    if load.errors:
                        missing[layer.name] = f"{load.errors} of {load.requests} requests failed"
                    layer.cpu_us.append(cpu)
            click.echo(f"round {number + 1} done", err=True)
    _report(chosen, missing, rounds, seconds)


def _scripts(scratch: Path) -> tuple[Path, Path]:
    headers = {"content-type": "application/json", "host": HOST}
    ask = [json.dumps({"model": MODEL, "messages": [{"role": "user", "content": text}]}) for text in (QUESTION,)]
    different = [
        json.dumps({"model": MODEL, "messages": [{"role": "user", "content": text}]})
        for text in texts.summaries(20_000)
    ]
    return script(scratch, "fixed", ask[0], headers), varied_script(scratch, "varied", different, headers)


def _report(chosen: list[Layer], missing: dict[str, str], rounds: int, seconds: int) -> None:
    middles = {layer.name: statistics.median(layer.cpu_us) for layer in chosen if layer.cpu_us}
    rows = []
    for layer in chosen:
        if layer.name in middles:
            before = middles.get(layer.after)
            added = f"{middles[layer.name] - before:+,.0f}" if before is not None else ""
            rows.append([layer.name, f"{middles[layer.name]:,.0f}", added, layer.after.removeprefix("+ ")])
    click.echo(f"{PATH}, {rounds} interleaved rounds of {seconds} s, medians\n")
    click.echo(table(["layer", "CPU us a request", "added", "to"], rows))
    for name, reason in missing.items():
        click.echo(f"MISSING {name}: {reason}")


if __name__ == "__main__":
    layers()
