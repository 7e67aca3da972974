"""Checks whether a model's prompt cache recognises a prompt with retrieved passages.

    .venv/bin/python benchmarks/prompt_cache.py [--rounds 3]

A gateway with the local engine answers each request with one token, so the time is that of reading the prompt. Each
round has its own documents, so no round finds prompts of another in the cache.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import click
from harness import foreword
from harness.report import table

CONFIG = """
[data]
folder = "data"
[prompt]
mode = "off"
templates = []
[records]
policy = "none"
[context]
budget_ms = 60000
[store]
kind = "exact"
"""
FACTS = (
    "Every employee of branch {n} has {days} days of paid annual leave. Leave that is not taken lapses in March of the "
    "following year, unless the head of the branch agrees to a later date in writing.",
    "Travel of branch {n} by train is booked in second class. A hotel may cost {euros} euros a night, and more only "
    "where a fair or a congress raises all prices of the town.",
    "The canteen of branch {n} opens at half past eleven and closes at two. Guests pay {euros} cents more than the "
    "people who work in the house, and children under six years eat free of charge.",
    "Sick leave of branch {n} is reported before nine. A doctor's note is needed from day {days} on, and "
    "the note goes to the personnel office and not to the team.",
    "Bicycles of branch {n} stand in the yard behind gate {days}. Who needs a locker asks the porter, who keeps a list "
    "of the {euros} lockers and of the people who wait for one.",
)
QUESTION = "How many days of paid annual leave does an employee of branch {n} have?"
NEXT = "When does the annual leave of branch {n} lapse, and what do its hotel nights and its canteen cost?"
OTHER = "Where do the bicycles of the branches stand, and who has the list of lockers?"


@click.command()
@click.option("--rounds", default=3, show_default=True)
def main(rounds: int) -> None:
    """Print the tokens and the seconds of each request, as medians over the rounds."""
    rows: dict[str, list[tuple[float, int, int]]] = {}
    with tempfile.TemporaryDirectory(prefix="foreword-cache-") as scratch:
        folder = Path(scratch) / "gateway"
        server, port = foreword.start(folder, foreword.LOCAL + foreword.EMBEDDER + CONFIG)
        try:
            ask(port, "Hello.", {})  # the engine's first request is always the slowest
            for number in range(1, rounds + 1):
                _add(folder, number)
                for name, question, body in _requests(number):
                    rows.setdefault(name, []).append(ask(port, question.format(n=number), body))
        finally:
            server.stop()
    click.echo(table(["request", "prompt tokens", "of them cached", "seconds"], [_row(*row) for row in rows.items()]))
    first = median(seconds for seconds, *_ in rows["with passages"])
    for name in ("the same again", "the next question, the same passages"):
        click.echo(f"{name}: {median(seconds for seconds, *_ in rows[name]) / first:.1%} of the first")


def _requests(number: int) -> list[tuple[str, str, Mapping[str, object]]]:
    named = {"collections": [f"branch-{number}"], "top_k": 20, "budget_tokens": 2000}
    return [
        ("no collection", f"{FACTS[0]} {QUESTION}".replace("{days}", "13"), {}),
        ("no collection, the same again", f"{FACTS[0]} {QUESTION}".replace("{days}", "13"), {}),
        ("with passages", QUESTION, named),
        ("the same again", QUESTION, named),
        ("the next question, the same passages", NEXT, named),
        ("another question, two of them", OTHER, {**named, "top_k": 2}),
    ]


def ask(port: int, question: str, controls: Mapping[str, object]) -> tuple[float, int, int]:
    """Return the seconds until the answer, the tokens of the prompt, and how many of them were cached."""
    body = {
        "model": "smollm2-135m-instruct",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 1,
        "foreword": controls,
    }
    began = time.perf_counter()
    reply = json.loads(foreword.post(port, "/v1/chat/completions", body, timeout_s=600))
    seconds = time.perf_counter() - began
    usage = reply["usage"]
    return seconds, usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


def _add(folder: Path, number: int) -> None:
    file = folder / f"branch-{number}.md"
    facts = (fact.format(n=number, days=10 + 3 * number, euros=90 + 7 * number) for fact in FACTS)
    file.write_text("\n\n".join(f"## Rule {place}\n\n{fact}" for place, fact in enumerate(facts, 1)), "utf-8")
    program = Path(sys.executable).parent / "foreword"
    command = [str(program), "collections", "add", f"branch-{number}", str(file)]
    subprocess.run([*command, "--config", str(folder / "config.toml")], check=True, capture_output=True)


def _row(name: str, measured: list[tuple[float, int, int]]) -> list[str]:
    seconds, tokens, cached = (median(column) for column in zip(*measured, strict=True))
    return [name, f"{tokens:.0f}", f"{cached:.0f}", f"{seconds:.2f}"]


if __name__ == "__main__":
    main()
