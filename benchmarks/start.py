"""Measures the time and memory of a start: the bare gateway, and the embedded default on its second start.

The bare gateway runs in its own environment without extras, as a user without extras has it.

Medians over several starts: seconds from the command to the first answer of /health/live and of /health/ready, CPU
seconds of all processes until then, and resident memory of the process tree. Pages shared by parent and worker count
twice.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import httpx
from harness.processes import Process, free_port, rss_bytes, tree
from harness.report import table

ROOT = Path(__file__).parents[1]
BARE = '[backends.up]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["*"]\n'


def bare_environment(folder: Path) -> Path:
    """Create an environment with the gateway and without extras. Returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    asked = ["-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", ROOT]
    subprocess.run([python, *asked], check=True)
    return python


def start(config: Path, python: Path | str = sys.executable) -> tuple[float, float, float, float]:
    """Return seconds to live, seconds to ready, CPU seconds until then, and MB of the process tree."""
    port = free_port()
    began = time.monotonic()
    command = [str(python), "-m", "gateway.cli.main", "serve", "--config", str(config), "--port", str(port)]
    process = Process(command, config.with_suffix(".log"))
    try:
        live, ready = (_answers(port, path, began) for path in ("/health/live", "/health/ready"))
        used_s = process.cpu_s()
        return live, ready, used_s, sum(map(rss_bytes, tree(process.pid))) / 1e6
    finally:
        process.stop()


def _answers(port: int, path: str, began: float) -> float:
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200:
                return time.monotonic() - began
        except httpx.HTTPError:
            pass
        time.sleep(0.02)


@click.command()
@click.option("--starts", default=5, show_default=True, help="How often each gateway is started.")
def main(starts: int) -> None:
    """Start the bare gateway and the embedded default several times, and print a table."""
    with tempfile.TemporaryDirectory(prefix="foreword-start-") as folder:
        bare, whole = Path(folder) / "bare.toml", Path(folder) / "whole.toml"
        bare.write_text(BARE, "utf-8")
        default = (ROOT / "config.toml").read_text("utf-8")
        whole.write_text(default.replace('["templates"]', f'["{ROOT / "templates"}"]'), "utf-8")
        first = start(whole)  # trains the classifier
        rows = [["embedded default, the first time", *map("{:.2f}".format, first)]]
        cases = [
            ("embedded default, again", whole, sys.executable),
            ("remote backends only", bare, bare_environment(Path(folder) / "environment")),
            ("remote backends only, extras installed", bare, sys.executable),
        ]
        for name, config, python in cases:
            columns = zip(*[start(config, python) for _ in range(starts)], strict=True)
            rows.append([name, *(f"{statistics.median(column):.2f}" for column in columns)])
    click.echo(table(["start", "s to live", "s to ready", "CPU s", "MB resident"], rows))


if __name__ == "__main__":
    main()
