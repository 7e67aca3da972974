"""Measures what the job `train-refiner` teaches the 135M model, and what the trained refiner is worth in the gateway.

    python benchmarks/train_refiner.py --data FOLDER [--steps 60] [--prompts 20]

FOLDER holds `bpo/dev.jsonl`: prompts, and improved versions by people and a large model. The job holds out two of five
pairs. `--prompts` of those are sent through the gateway with the untrained and with the trained model as refiner. The
trained one is configured by the lines that the job wrote. An interrupted run continues in `--folder`.
"""

import json
import time
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import click
from harness.report import table
from refiner import CONFIG, MODEL, kinds_of, refined

from gateway.settings.read import load
from offline_jobs.datasets import dataset
from offline_jobs.engine.ledger import RUNNING, Ledger, LedgerJob
from offline_jobs.engine.work import finished, go_on, jobs_folder, start
from offline_jobs.train_refiner import HELD_OUT

TEMPLATES = Path(__file__).resolve().parent / "templates" / "refine"
UNTRAINED = f'[refiner]\nmodel = "{MODEL}"'
LONG = '"{root}/templates/refine-prompt"'


def trained(data: Path, folder: Path, steps: int) -> tuple[LedgerJob, float]:
    """Run or resume the job. Returns it, and the CPU seconds of this run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(f'[prompt]\ntemplates = ["{TEMPLATES}"]\n[jobs]\nminutes = 120\n', "utf-8")
    settings = load(folder / "config.toml")
    fields = {"query": "prompt", "wanted": "optimized_prompt"}
    dataset.write(settings.data_folder, "bpo", dataset.rows_in(data / "bpo/dev.jsonl", fields), counts={}, query={})
    ledger = Ledger(jobs_folder(settings))
    began = getrusage(RUSAGE_SELF).ru_utime
    try:
        last = next(iter(ledger.jobs(1)), None)
        if last is not None and last.state == RUNNING:
            job = go_on(settings, ledger, last)
        else:
            job = start(settings, ledger, "train-refiner", {"dataset": "bpo", "steps": steps, "longest": 256})
    finally:
        ledger.close()
    return finished(job), getrusage(RUSAGE_SELF).ru_utime - began


def configs(use: str) -> dict[str, str]:
    """Return the configuration with each refiner. The job wrote the lines for the trained one."""
    plain = CONFIG.replace(LONG, f'"{TEMPLATES}"')
    backend, refiner = use.split("\n\n[refiner]\n")
    return {"untrained": plain, "trained": f"{plain.replace(UNTRAINED, f'[refiner]{chr(10)}{refiner}')}\n{backend}\n"}


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="The folder of the job and its model.")
@click.option("--steps", default=60, show_default=True)
@click.option("--prompts", default=20, show_default=True)
def main(data: Path, folder: Path, steps: int, prompts: int) -> None:
    """Print the figures of docs/benchmarks.md, section *A trained refiner*."""
    began = time.monotonic()
    job, cpu_s = trained(data, folder, steps)
    report = json.loads(job.report)
    click.echo(f"{report['said']}; {report['pairs']} pairs to learn from, {report['steps']} steps")
    click.echo(f"{cpu_s:.0f} s of CPU, {time.monotonic() - began:.0f} s of the clock")
    if not report["folder"]:
        return
    model = Path(report["folder"])
    held = [json.loads(line)["query"] for line in (model / HELD_OUT).read_text("utf-8").splitlines()][:prompts]
    use = json.loads((model / "foreword.json").read_text("utf-8"))["use"]
    rows = []
    for name, config in configs(use).items():
        (said,) = refined(config, held)
        took = sorted(seconds for _, seconds in said)[len(said) // 2]
        rows += [
            [name, kind, str(count), f"{took:.1f}"] for kind, count in kinds_of([one for one, _ in said]).most_common()
        ]
        click.echo(f"{name} done", err=True)
    click.echo(table(["refiner", "what came of it", "prompts", "s, median"], rows))


if __name__ == "__main__":
    main()
