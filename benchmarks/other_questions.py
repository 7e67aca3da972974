"""Checks that other questions about the texts of two label tasks, and the same questions about other texts, are not
answered as the label task.

    python benchmarks/other_questions.py --data FOLDER

FOLDER holds `intents/<task>/*.jsonl`. The 60 questions in `prompts/other_questions.tsv` were written before the rules
that decide, and are not adapted to those rules.
"""

import asyncio
import csv
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from harness import tasks
from harness.report import table
from strangers import ROOT, decisions

QUESTIONS = Path(__file__).parent / "prompts/other_questions.tsv"
NAMES = ("clinc10", "banking8")


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--texts", default=40, show_default=True, help="Texts of each task, for the task's own three wordings.")
@click.option("--show", is_flag=True, help="Print each decision.")
def main(data: Path, texts: int, show: bool) -> None:
    """Print how many of the other questions, and how many of the task's own, are answered as a label task."""
    loaded = {name: tasks.read(data, name, texts) for name in NAMES}
    rows = [*_others(loaded), *_own(loaded)]
    with tempfile.TemporaryDirectory(prefix="foreword-questions-") as folder:
        templates = Path(folder) / "templates"
        tasks.write_templates(templates, data, tuple(loaded.values()))
        answered = asyncio.run(
            _answered(rows, [ROOT / "templates", templates], {task.template for task in loaded.values()})
        )
    asked = Counter(row["set"] for row in rows)
    taken = Counter(row["set"] for row in rows if answered[row["id"]])
    if show:
        for row in rows:
            click.echo(json.dumps({**row, "answered as": answered[row["id"]]}, ensure_ascii=False))
    click.echo(
        table(
            ["questions", "number", "answered as the label task"],
            [[name, str(asked[name]), str(taken[name])] for name in asked],
        )
    )


def _others(loaded: Mapping[str, tasks.Task]) -> list[dict[str, str]]:
    with QUESTIONS.open(encoding="utf-8") as file:
        listed = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = []
    for number, row in enumerate(listed):
        task = loaded.get(row["texts"])
        prompt = row["prompt"].replace("\\n", "\n")
        if task is not None:
            prompt = prompt.replace("{text}", task.dev[number % len(task.dev)].text)
        name = "other questions, the same texts" if task else "texts of other domains"
        rows.append({"id": f"other-{number}", "set": name, "text": prompt})
    return rows


def _own(loaded: Mapping[str, tasks.Task]) -> list[dict[str, str]]:
    return [
        {"id": f"{name}-{index}-{wording}", "set": f"{name}, its own question, wording {wording}", "text": text}
        for name, task in loaded.items()
        for index, item in enumerate(task.dev)
        for wording, text in enumerate(task.questions(item), 1)
    ]


async def _answered(
    rows: Sequence[Mapping[str, str]], templates: Sequence[Path], labelling: set[str]
) -> dict[str, str]:
    """Return the label template that would answer each row, or "". A label template is recognised by its example
    turns."""
    return {
        found["id"]: found["template"] if found["changed"] and found["template"] in labelling else ""
        async for found in decisions(rows, templates, "on")
    }


if __name__ == "__main__":
    main()
