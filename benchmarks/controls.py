"""Checks that a template worse than its controls is stopped in time, and that a good one stays in use.

Scored answers with and without the rewrite are simulated, and judged as the job `watch` judges them. Feedback is a
thumb (0 or 1) or one to five stars. A run counts if the alarm comes within its answers.
"""

from collections.abc import Iterator
from random import Random

import click
from harness.report import table

from offline_jobs.statistics.sequential import CONTROL_ALARM, ScoredAnswer, judged

KINDS = {"thumbs": 1, "stars": 4}
"""The number of steps of a score between 0 and 1."""
CELLS = ((0.30, 300), (0.05, 1500))
"""The share of controls, and the number of scored answers within which a drop of 0.3 should be detected."""


def answers(
    draw: Random, count: int, controls: float, rewritten: float, held: float, steps: int
) -> Iterator[ScoredAnswer]:
    for _ in range(count):
        side = draw.random() >= controls
        mean = rewritten if side else held
        yield ScoredAnswer(side, sum(draw.random() < mean for _ in range(steps)) / steps)


def in_shadow(runs: int, count: int, controls: float, rewritten: float, held: float, steps: int) -> list[int]:
    """Return the number of answers at the alarm, for each run with an alarm."""
    at = []
    for seed in range(runs):
        draw = Random(f"{controls} {rewritten} {held} {steps} {seed}")
        verdict = judged(answers(draw, count, controls, rewritten, held, steps), alarm=CONTROL_ALARM)
        at += [verdict.answers] if verdict.worse else []
    return sorted(at)


def row(runs: int, kind: str, controls: float, count: int, held: float, drop: float) -> list[str]:
    at = in_shadow(runs, count, controls, held - drop, held, KINDS[kind])
    median = str(at[len(at) // 2]) if at else "-"
    return [kind, f"{controls:.0%}", f"{held:.1f} to {held - drop:.1f}", f"{count:,}", f"{len(at) / runs:.1%}", median]


@click.command()
@click.option("--runs", default=400, show_default=True, help="The number of simulated templates of each kind.")
def controls(runs: int) -> None:
    """Print the share of simulated templates that are stopped, by drop."""
    head = [
        "feedback",
        "controls",
        "score, held to rewritten",
        "scored answers",
        "put into the shadow",
        "median answers",
    ]
    rows = []
    for kind in KINDS:
        for share, count in CELLS:
            for held in (0.9, 0.7, 0.5):
                rows += [row(runs, kind, share, count, held, drop) for drop in (0.0, 0.1, 0.3)]
    click.echo(table(head, rows))


if __name__ == "__main__":
    controls()
