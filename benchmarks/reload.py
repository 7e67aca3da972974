"""Reloads two thousand templates, or a hundred configurations, while the gateway answers: seconds, dropped requests,
the slowest request.

Templates: several connections keep sending requests through the whole path (classify, rewrite, a local upstream).
Meanwhile POST /v1/foreword/templates/reload is called: with nothing changed, with one file changed, with every file
touched, and with the text and version of every file changed. The library is this repository's templates and numbered
copies of them. The copies are candidates, so the classifier need not be trained again.

Configurations: `harness/config_reloads.py`.
"""

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import httpx
from harness import foreword
from harness.config_reloads import HEADS, config_reloads
from harness.processes import HOST, Process, free_port
from harness.report import table

CONFIG = (
    foreword.FULL_PATH.replace("{root}/templates", "{library}")
    .replace('"full"', '"none"')
    .replace("[prompt]\n", "[prompt]\nwatch_s = 0\n")
)
ASK = {"model": "m", "messages": [{"role": "user", "content": "Summarise this: The sea is wide and very old."}]}


class Asking:
    """Requests one after another on each connection, while it is open."""

    def __init__(self, url: str, connections: int) -> None:
        self._url, self._connections = url, connections
        self.seconds: list[float] = []
        self.dropped = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Asking":
        self._client = httpx.AsyncClient(timeout=60)
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(self._connections)]
        await asyncio.sleep(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(1)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _ask(self) -> None:
        while True:
            began = time.monotonic()
            try:
                answer = await self._client.post(f"{self._url}/v1/chat/completions", json=ASK)
                self.dropped += answer.status_code != 200 or "x-foreword-template" not in answer.headers
            except httpx.HTTPError:
                self.dropped += 1
            self.seconds.append(time.monotonic() - began)
            await asyncio.sleep(0.01)


@click.command()
@click.option("--templates", default=2000, show_default=True)
@click.option("--connections", default=4, show_default=True)
@click.option("--configs", default=0, help="Reload this many configurations, and no templates.")
@click.option("--workers", default=1, show_default=True, help="Workers of the gateway, with --configs.")
def main(templates: int, connections: int, configs: int, workers: int) -> None:
    """Print the tables of docs/benchmarks.md, section *Reload*."""
    if configs:
        with tempfile.TemporaryDirectory(prefix="foreword-reload-") as name:
            rows, line = config_reloads(Path(name), configs, workers)
        click.echo(f"{line}; {workers} workers\n")
        click.echo(table(HEADS, rows))
        return
    with tempfile.TemporaryDirectory(prefix="foreword-reload-") as name:
        folder = Path(name)
        library = folder / "library"
        make_library(library, templates)
        port = free_port()
        upstream = Process([sys.executable, str(Path(__file__).parent / "mock.py"), str(port)], folder / "mock.log")
        try:
            upstream.wait_port(port)
            config = CONFIG.replace("{library}", str(library))
            process, gateway = foreword.start(folder / "gateway", config, port, ready_s=900)
            try:
                rows = asyncio.run(measure(f"http://{HOST}:{gateway}", process, library, connections))
            finally:
                process.stop()
        finally:
            upstream.stop()
    click.echo(table(["reload of", "s", "CPU s", "changed", "requests", "dropped", "median ms", "longest ms"], rows))


async def measure(url: str, process: Process, library: Path, connections: int) -> list[list[str]]:
    files = await asyncio.to_thread(lambda: sorted(library.glob("**/*.prompt.md")))

    def nothing() -> None:
        pass

    def touch() -> None:
        for file in files:
            file.touch()

    def change_one() -> None:
        change(files[:1])

    def change_all() -> None:
        change(files)

    cases: list[tuple[str, Callable[[], None]]] = [
        ("nothing changed", nothing),
        ("one file changed", change_one),
        (f"{len(files)} files touched", touch),
        (f"{len(files)} files changed", change_all),
    ]
    rows = [await no_reload(url, connections)]
    for name, prepare in cases:
        prepare()
        async with Asking(url, connections) as asking, httpx.AsyncClient(timeout=600) as client:
            began, idle = time.monotonic(), process.cpu_s()
            answer = (await client.post(f"{url}/v1/foreword/templates/reload")).raise_for_status().json()
            took, used = time.monotonic() - began, process.cpu_s() - idle
        rows.append([name, f"{took:.2f}", f"{used:.2f}", str(len(answer["changed"])), *figures(asking)])
    return rows


async def no_reload(url: str, connections: int) -> list[str]:
    async with Asking(url, connections) as asking:
        await asyncio.sleep(3)
    return ["(no reload)", "-", "-", "-", *figures(asking)]


def figures(asking: Asking) -> list[str]:
    ordered = sorted(asking.seconds)
    times = [ordered[len(ordered) // 2] * 1000, ordered[-1] * 1000]
    return [str(len(ordered)), str(asking.dropped), *(f"{ms:.0f}" for ms in times)]


def make_library(folder: Path, count: int) -> None:
    sources = sorted((foreword.ROOT / "templates").glob("**/*.prompt.md"))
    for source in sources:
        home = folder / source.parent.name
        home.mkdir(parents=True, exist_ok=True)
        for pool in source.parent.glob("*.jsonl"):
            (home / pool.name).write_bytes(pool.read_bytes())
    for number in range(count):
        source = sources[number % len(sources)]
        text, copy = source.read_text("utf-8"), number // len(sources)
        if copy:
            text = re.sub(r"^(id|family): ([\w-]+)", rf"\1: \2-{copy}", text, flags=re.MULTILINE)
            text = re.sub(r"^status: \w+", "status: candidate", text, flags=re.MULTILINE)
        name = source.name.replace(".prompt.md", f"-{copy}.prompt.md")
        (folder / source.parent.name / name).write_text(text, "utf-8")


def change(files: list[Path]) -> None:
    """Change the text and increase the version, as an author would."""
    for file in files:
        text = file.read_text("utf-8")
        text = re.sub(r"^version: (\d+)", lambda found: f"version: {int(found[1]) + 1}", text, flags=re.MULTILINE)
        file.write_text(f"{text.rstrip()}\nTake care.\n", "utf-8")


if __name__ == "__main__":
    main()
