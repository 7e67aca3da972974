"""Measures what the job `optimise` gains over a bare instruction, and which part of the job gains it.

The default 135M model answers. Proposals come from rules and from a critic: the same small model, or a scripted critic
in place of a stronger model. The rows of each task are split in three, and `right` is measured on the sealed rows.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from harness import foreword
from harness.critic import scripted_critic
from harness.report import table

from gateway.settings.read import load
from offline_jobs.datasets import dataset
from offline_jobs.engine.ledger import Ledger
from offline_jobs.engine.work import jobs_folder, start

TASKS = {
    "boolean_expressions": ("bbh/boolean_expressions.jsonl", "", {"query": "input", "wanted": "target"}, "{{ query }}"),
    "sports_understanding": (
        "bbh/sports_understanding.jsonl",
        "",
        {"query": "input", "wanted": "target"},
        "{{ query }}",
    ),
    "object_counting": ("bbh/object_counting.jsonl", "", {"query": "input", "wanted": "target"}, "{{ query }}"),
    "clinc10": (
        "intents/clinc10/dev.jsonl",
        "intents/clinc10/train.jsonl",
        {"query": "text", "wanted": "label"},
        "What does this user of a voice assistant want? {{ query }}",
    ),
    "banking8": (
        "intents/banking8/dev.jsonl",
        "intents/banking8/train.jsonl",
        {"query": "text", "wanted": "label"},
        "What is this customer of a bank writing about? {{ query }}",
    ),
}
TEMPLATE = """---
schema: 1
id: bench.en
version: 1
status: active
language: en
intent:
  name: bench
  match: [one, two, three, four, five, six, seven, eight]
  not: [nine, ten]
technique: direct
{frozen}---
# user
{body}
"""
NO_SHOTS = "optimise: {components: [system, user]}\n"
"""Limits the search to the wording."""
CONFIG = (
    foreword.LOCAL
    + """answer_tokens = {answer}
[backends.critic]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["critic"]
"""
    + foreword.EMBEDDER
    + """
[records]
policy = "none"
[jobs]
calls = {calls}
minutes = 600
parallel = 4
"""
)
CRITICS = {"alone": "smollm2-135m-instruct", "scripted": "critic", "none": ""}


def optimised(
    data: Path, task: str, critic: str, port: int, asked: dict[str, Any], limits: dict[str, int], shots: bool
) -> list[str]:
    """Return one row of the table."""
    rows, pool, fields, body = TASKS[task]
    with tempfile.TemporaryDirectory(prefix="foreword-optimise-") as name:
        root = Path(name)
        (root / "templates").mkdir()
        (root / "templates" / "bench.prompt.md").write_text(
            TEMPLATE.format(body=body, frozen="" if shots else NO_SHOTS)
        )
        (root / "config.toml").write_text(CONFIG.format(port=port, **limits))
        settings = load(root / "config.toml")
        dataset.write(settings.data_folder, "rows", dataset.rows_in(data / rows, fields), counts={}, query={})
        if pool:
            dataset.write(settings.data_folder, "pool", dataset.rows_in(data / pool, fields), counts={}, query={})
        ledger = Ledger(jobs_folder(settings))
        words = {"template": "bench.en", "dataset": "rows", "critic": CRITICS[critic], **asked}
        began = time.monotonic()
        job = start(settings, ledger, "optimise", {**words, "examples": "pool"} if pool else words)
        seconds = time.monotonic() - began
        if job.state != "done":
            return [task, critic, f"{job.state}: {job.reason}", *[""] * 9]
        report, spent = json.loads(job.report), ledger.spent(job.id)
        file = jobs_folder(settings) / job.id / "lineage.json"
        lineage = json.loads(file.read_text()) if file.exists() else {"tried": [], "critic_asked": 0}
        ledger.close()
    return [task, critic, *_figures(report), *_critics(lineage), f"{spent.calls}", f"{seconds:.0f} s"]


def _figures(report: dict[str, Any]) -> list[str]:
    test = report["sealed"]
    if test is None:
        return ["", "", "", report["verdict"], "", "no", ""]
    # scores on the path are graded, and come from the rows to choose by
    path = " > ".join(f"{by} {score:.2f}" for by, score in report["parts"].items())
    interval = f"{test['mean']:+.3f} [{test['low']:+.3f}, {test['high']:+.3f}]"
    won = "yes" if report["won"] else "no"
    return [
        f"{test['pairs']}",
        f"{report['start']:.3f}",
        f"{report['best']:.3f}",
        interval,
        f"{test['p']:.4f}",
        won,
        path,
    ]


def _critics(lineage: dict[str, Any]) -> list[str]:
    """Return how often the critic was asked, and how often its proposal could be tried."""
    own = [one for one in lineage["tried"] if one["by"] == "critic"]
    fit = [one for one in own if one["rows"] and not one["feedback"].startswith("The template")]
    return [f"{len(fit)} of {lineage['critic_asked']}"]


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--task", "tasks", multiple=True, type=click.Choice(list(TASKS)), default=list(TASKS), show_default=True)
@click.option("--critic", "critics", multiple=True, type=click.Choice(list(CRITICS)), default=["alone", "scripted"])
@click.option("--engine", default="gepa", show_default=True)
@click.option(
    "--nearest/--no-nearest", default=True, show_default=True, help="Whether the nearest examples may be chosen."
)
@click.option("--rules/--no-rules", default=True, show_default=True, help="Whether rules also make proposals.")
@click.option("--shots/--no-shots", default=True, show_default=True, help="Whether examples may be added.")
@click.option("--calls", default=500, show_default=True)
@click.option("--choose", default=30, show_default=True)
@click.option("--sealed", default=60, show_default=True)
@click.option(
    "--answer", default=32, show_default=True, help="The longest answer in tokens, if the template sets no limit."
)
def optimise(
    data: Path, tasks: tuple[str, ...], critics: tuple[str, ...], shots: bool, calls: int, answer: int, **asked: Any
) -> None:
    """Print what the job gains on each task, on rows that the search never saw."""
    rows = []
    with scripted_critic() as port:
        for critic in critics:
            for task in tasks:
                rows.append(optimised(data, task, critic, port, asked, {"calls": calls, "answer": answer}, shots))
                click.echo(" | ".join(rows[-1]), err=True)
    head = [
        "task",
        "critic",
        "rows sealed",
        "start",
        "best",
        "difference",
        "p",
        "won",
        "what led there",
        "critic's usable",
        "calls",
        "took",
    ]
    click.echo(table(head, rows))


if __name__ == "__main__":
    optimise()
