"""Sends fifty requests at a time through an upstream that misbehaves in fifty ways, and looks for wrong answers and
leaks.

Each request names a lie (`harness/lies.py`) and carries a token, which the answer must repeat. The request must end in
the right answer or in an error, as the lie allows. One client in twenty hangs up. The worker's memory, open files,
sockets and tasks are read while the script runs, and again when all clients are gone.
"""

import asyncio
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from harness import foreword
from harness.lies import EITHER, LIES
from harness.processes import HOST, Process, cpu_s, free_port, rss_bytes, tree
from harness.report import table
from harness.soak_client import FORMS, Question, leave, outcome

HERE = Path(__file__).resolve().parent
CONFIG = """
health_port = {health}
[prompt]
mode = "off"
templates = []
[records]
drain_s = 0.5
[backends.lying]
kind = "openai"
base_url = "http://{{host}}:{{upstream}}/v1"
idle_timeout_s = 3
total_timeout_s = 10
max_answer_mb = 1
models = ["*"]
[backends.honest]
kind = "openai"
base_url = "http://{{host}}:{{upstream}}/v1"
models = ["plain"]
[models.honest]
backend = "honest"
upstream = "plain"
"""
FALLBACK = '[models."safe-{lie}"]\nbackend = "lying"\nupstream = "{lie}"\nfallback = "honest"\n'
# loaded by every Python process of the gateway: on a signal, counts tasks, and blocks of memory after a garbage
# collection
COUNTER = """
import asyncio, gc, os, signal, sys
def count(*_):
    gc.collect()
    tasks = len(asyncio.all_tasks(asyncio.get_event_loop_policy().get_event_loop()))
    with open(os.path.join({folder!r}, f"counts-{{os.getpid()}}"), "w") as file:
        file.write(f"{{tasks}} {{sys.getallocatedblocks()}}\\n")
signal.signal(signal.SIGUSR2, count)
"""
LEAVING = 0.05


class Soak:
    """The clients and their results."""

    def __init__(self, port: int, only: str, seed: int) -> None:
        self.port = port
        self.results: Counter[tuple[str, str, bool, str]] = Counter()
        self.texts: list[str] = []
        self.ids: set[str] = set()
        """The exchanges that answers named."""
        self.sent = self.left = 0
        self._lies = [name for name in LIES if only in name]
        self._random = random.Random(seed)

    async def client(self, until: float) -> None:
        while time.monotonic() < until:
            question = self._question()
            if self._random.random() < LEAVING:
                await leave(self.port, question)
                self.left += 1
            else:
                got, _, text = (await outcome(self.port, question, self.ids)).partition(": ")
                self.results[question.lie, question.form, question.stream, got] += 1
                if got not in _due(question.lie, question.form, question.stream):
                    self.texts.append(f"{question.lie}: {text or got}")

    def _question(self) -> Question:
        draw, self.sent = self._random, self.sent + 1
        lie = LIES[name := draw.choice(self._lies)]
        stream = draw.choice([way for way, due in ((False, lie.whole), (True, lie.stream)) if due])
        return Question(self.sent, name, draw.choice(FORMS), stream, draw.random() < 0.2)

    def wrong(self) -> list[list[str]]:
        return [
            [lie, form, "stream" if stream else "whole", got, str(count)]
            for (lie, form, stream, got), count in sorted(self.results.items())
            if got not in _due(lie, form, stream)
        ]


def _due(lie: str, form: str, stream: bool) -> tuple[str, ...]:
    due = LIES[lie].stream if stream else LIES[lie].whole
    return tuple((EITHER if form == "fallback" else due).split(" or "))


class Worker:
    """Reads the resources of the gateway's worker."""

    def __init__(self, process: Process, health: int, folder: Path) -> None:
        self.pid = next(pid for pid in tree(process.pid) if pid != process.pid)
        self._health, self._folder = health, folder

    def row(self, began: float, sent: int) -> list[str]:
        files = [_target(file) for file in Path(f"/proc/{self.pid}/fd").iterdir()]
        sockets = sum(name.startswith("socket:") for name in files)
        cpu_us = cpu_s(self.pid) * 1e6 / max(1, sent)
        tasks, blocks = self._counts()
        figures = (time.monotonic() - began, sent, rss_bytes(self.pid) / 2**20, blocks, len(files), sockets, tasks)
        return [f"{figure:,.0f}" for figure in (*figures, self._under_way(), cpu_us)]

    def _counts(self) -> tuple[int, int]:
        """Return tasks and blocks of memory, or -1 if the worker did not report them."""
        told = self._folder / f"counts-{self.pid}"
        told.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR2)
        for _ in range(50):
            time.sleep(0.1)
            if told.exists() and (text := told.read_text()).endswith("\n"):
                tasks, blocks = text.split()
                return int(tasks), int(blocks)
        return -1, -1

    def _under_way(self) -> float:
        return self.metric("foreword_worker_requests{")

    def metric(self, name: str) -> float:
        """Return the sum of all lines of the metrics page that begin with `name`."""
        with urllib.request.urlopen(f"http://{HOST}:{self._health}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:
        return ""


@contextmanager
def gateway(scratch: Path) -> Iterator[tuple[Process, int, int]]:
    """Start the gateway in front of the lying upstream. Yields its process, port and health port."""
    upstream_port, health = free_port(), free_port()
    (scratch / "sitecustomize.py").write_text(COUNTER.format(folder=str(scratch)))
    program = str(HERE / "harness" / "lying_upstream.py")
    upstream = Process([sys.executable, program, str(upstream_port)], scratch / "log", {"PYTHONPATH": str(HERE)})
    os.environ["PYTHONPATH"] = os.pathsep.join([str(scratch), os.environ.get("PYTHONPATH", "")])
    try:
        upstream.wait_port(upstream_port)
        text = CONFIG.format(health=health) + "".join(FALLBACK.format(lie=lie) for lie in LIES)
        process, port = foreword.start(scratch / "gateway", text, upstream_port)
        try:
            yield process, port, health
        finally:
            process.stop()
    finally:
        upstream.stop()


async def _run(soak: Soak, worker: Worker, clients: int, seconds: float) -> list[list[str]]:
    began = time.monotonic()
    rows = [await asyncio.to_thread(worker.row, began, 0)]
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(soak.client(began + seconds))
        for step in range(1, 11):
            await asyncio.sleep(max(0.0, began + seconds * step / 10 - 1 - time.monotonic()))
            rows.append(await asyncio.to_thread(worker.row, began, soak.sent))
    await asyncio.sleep(60)  # longer than an idle connection is kept
    rows.append(await asyncio.to_thread(worker.row, began, soak.sent))
    return rows


@click.command()
@click.option("--minutes", default=15.0, help="How long.")
@click.option("--clients", default=50, help="The number of requests at the same time.")
@click.option("--only", default="", help="Use only lies whose name contains this.")
@click.option("--seed", default=1, help="The seed of the order of lies.")
def soak(minutes: float, clients: int, only: str, seed: int) -> None:
    """Count wrong answers and growth under requests to a lying upstream."""
    with (
        tempfile.TemporaryDirectory(prefix="foreword-soak-") as folder,
        gateway(Path(folder)) as (process, port, health),
    ):
        run, worker = Soak(port, only, seed), Worker(process, health, Path(folder))
        rows = asyncio.run(_run(run, worker, clients, minutes * 60))
        stored, ids = _stored(next((Path(folder) / "gateway" / "data").rglob("*.db")))
        counted, tokens = worker.metric("foreword_requests_total{"), worker.metric("foreword_tokens_total{")
    click.echo(
        table(
            ["s", "requests", "RSS, MB", "blocks", "files", "sockets", "tasks", "under way", "CPU µs a request"], rows
        )
    )
    got = Counter[str]()
    for (_, _, _, result), count in run.results.items():
        got[result] += count
    click.echo(f"\n{run.sent:,} requests, {run.left:,} hung up; {dict(got)}; records by ending: {stored}\n")
    lost, ours = len(run.ids - ids.keys()), sum(ids.values())
    click.echo(
        f"{len(run.ids):,} answers named an exchange, {lost} of them are not recorded; {len(ids):,} records, "
        f"{counted:,.0f} counted in the metrics; {ours:,} tokens recorded, {tokens:,.0f} counted\n"
    )
    wrong = run.wrong()
    click.echo(table(["lie", "asked as", "way", "got", "times"], wrong) if wrong else "no wrong answer")
    for text in run.texts[:20]:
        click.echo(text, err=True)
    sys.exit(bool(wrong) or lost > 0 or counted != len(ids) or tokens != ours)


def _stored(database: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Return the number of records by ending, and the tokens of each exchange."""
    with sqlite3.connect(database) as connection:
        endings = dict(connection.execute("SELECT ending, count(*) FROM exchanges GROUP BY ending").fetchall())
        used = "max(0, prompt_tokens) + max(0, completion_tokens)"
        return endings, dict(connection.execute(f"SELECT id, {used} FROM exchanges").fetchall())


if __name__ == "__main__":
    soak()
