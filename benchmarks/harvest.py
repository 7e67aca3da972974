"""Harvests many synthetic exchanges. Measures time and memory, and checks that the result survives kills.

The exchanges are written directly into a database. One harvest runs to its end. Another is killed (SIGKILL) at random
moments and resumed. Both must make the same dataset version.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from harness.report import table

from gateway.ask import Turn
from gateway.exchange import Intent, Rewrite
from gateway.ports import Answer
from gateway.records.database import Database
from gateway.records.engine import engine_for
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord
from gateway.records.tables import feedback

BEGAN = 1_750_000_000.0
BATCH = 500
SCORED, WANTED, UNFITTED = 0.04, 0.01, 0.15
"""The shares of exchanges with a score, with a right answer, and without a template."""
CONFIG = """
[data]
folder = "data"
[prompt]
templates = []
"""
THINGS = ["order", "parcel", "invoice", "account", "flight", "ticket", "password", "card", "subscription", "booking"]
ASKS = ["where is", "please cancel", "I want my money back for", "can you change", "why was I charged for", "summarise"]
WORDS = [
    f"{a}{b}"
    for a in ("bro", "ta", "mi", "ke", "lu", "sha", "po", "ri")
    for b in ("ken", "ler", "vat", "son", "dim", "gor")
]


def exchanges(count: int, seed: int) -> Iterator[tuple[ExchangeRecord, Feedback | None]]:
    """Yield synthetic exchanges. Every tenth prompt is nearly a copy of another, and some contain an address."""
    draw = random.Random(seed)
    for number in range(count):
        own = " ".join(draw.choices(WORDS, k=draw.randint(4, 25)))
        query = f"{draw.choice(ASKS)} my {draw.choice(THINGS)} {number if draw.random() > 0.1 else 7}: {own}"
        if draw.random() < 0.02:
            query += f" write to user{number}@example.org"
        fitted = draw.random() >= UNFITTED
        record = ExchangeRecord(
            id=f"fw-{number:012d}",
            time_s=BEGAN + number * 0.5,
            endpoint="chat/completions",
            model="small",
            turns=(Turn("user", query, 0),),
            intent=Intent("help", 0.9, 0.8, "en") if fitted else Intent.UNKNOWN,
            rewrite=Rewrite("help.en", 1, "direct") if fitted else Rewrite.NONE,
            changed=fitted,
            ending="finished",
            status=200,
            total_us=draw.randint(10_000, 900_000),
            answer=Answer(" ".join(draw.choices(WORDS, k=30)), "stop", 40, 30),
        )
        said = None
        if draw.random() < SCORED:
            wanted = record.answer.text if draw.random() < 0.5 else "something else"
            said = Feedback(
                record.id, score=float(draw.random() < 0.7), answer=wanted if draw.random() < WANTED / SCORED else ""
            )
        yield record, said


def write_database(folder: Path, count: int) -> None:
    url = f"sqlite:///{folder / 'data' / 'records.db'}"
    database = Database.open(url)
    portion: list[ExchangeRecord] = []
    said: list[Feedback] = []
    engine = engine_for(url)

    def flush() -> None:
        database.insert(portion)
        with engine.execution_options(foreword_writes=True).begin() as connection:
            if said:
                connection.execute(feedback.insert(), [msgspec.structs.asdict(one) for one in said])
        portion.clear()
        said.clear()

    for record, opinion in exchanges(count, seed=1):
        portion.append(record)
        if opinion is not None:
            said.append(opinion)
        if len(portion) == BATCH:
            flush()
    flush()
    engine.dispose()
    database.close()


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "gateway.cli.main", "jobs", *words, "--config", str(folder / "config.toml")]


def measured(words: list[str]) -> tuple[float, float]:
    """Return the seconds, and the largest memory of the process or one of its workers in MB."""
    began = time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def killed(words: list[str], after_s: float) -> bool:
    """Start the command in a process group and kill the group. Returns False if the command finished before."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def hash_of(folder: Path, name: str) -> str:
    (about,) = (folder / "data" / "datasets").glob(f"{name}@*/dataset.json")
    return str(msgspec.json.decode(about.read_bytes())["hash"])


@click.command()
@click.option("--records", default=1_000_000, show_default=True)
@click.option("--processes", default=2, show_default=True)
@click.option("--kills", default=5, show_default=True)
@click.option("--seed", default=0, show_default=True)
def harvest(records: int, processes: int, kills: int, seed: int) -> None:
    """Measure time and memory of a harvest, and compare it with one that was killed and resumed."""
    with tempfile.TemporaryDirectory(prefix="foreword-harvest-") as name:
        folder = Path(name)
        (folder / "config.toml").write_text(CONFIG)
        began = time.monotonic()
        write_database(folder, records)
        megabytes = (folder / "data" / "records.db").stat().st_size / 1e6
        click.echo(
            f"{records:,} exchanges, {megabytes:,.0f} MB, written in {time.monotonic() - began:,.0f} s", err=True
        )
        asked = ["since=2025-01-01", "until=2027-01-01", "groups=false"]
        many = ["--processes", str(processes), "--minutes", "600"]
        seconds, memory = measured(command(folder, "run", "harvest", "name=whole", *asked, *many))
        draw = random.Random(seed)
        count, words = 0, command(folder, "run", "harvest", "name=killed", *asked, *many)
        while count < kills and killed(words, draw.uniform(0.1, 0.9) * seconds / 2):
            count += 1
            words = command(folder, "run", "harvest", "--continue", *many)
        more, _ = measured(words)
        same = hash_of(folder, "whole") == hash_of(folder, "killed")
        rows = [
            [
                f"{records:,}",
                str(processes),
                f"{seconds:,.0f} s",
                f"{memory:,.0f} MB",
                str(count),
                f"{more:,.0f} s",
                str(same),
            ],
        ]
        head = ["exchanges", "processes", "one run", "largest memory of a process", "kills", "last run", "same dataset"]
        click.echo(table(head, rows))


if __name__ == "__main__":
    harvest()
