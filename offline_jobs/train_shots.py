"""The job `train-shots`: finds the helpful examples in a pool of labelled examples, and writes them as a new dataset.

The job computes the value of each example for the vote of the nearest examples. Harmful examples are dropped if the
vote on held-out rows is no worse without these examples. No model is called.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
from msgspec import Struct

from gateway.records.scores import Paired, paired
from gateway.settings.tables import Settings
from offline_jobs.datasets import dataset
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.datasets.splits import split
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.embedding import open_embedder
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import JobFailed
from offline_jobs.statistics.worth import vote, worth

MOST = 2000
SHOWN = 20
WORSE = -0.02


class TrainShotsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options. Each row of the dataset must have `wanted`."""

    dataset: str
    """The pool of examples."""
    name: str = ""
    """The name of the new dataset. Default: the old name with `-helpful`."""
    k: int = 6
    """The number of nearest examples that vote."""
    seed: int = 0
    """The seed for choosing the held-out rows."""


class TrainShotsReport(Struct, frozen=True):
    """The result. `harmful` lists the worst examples with their values."""

    dataset: str
    verdict: str
    kept: int
    dropped: int
    held_out: Paired
    harmful: list[tuple[float, str, str]]


def run(run: JobRun, options: TrainShotsOptions) -> TrainShotsReport:
    source = dataset.find(run.settings.data_folder, options.dataset)
    rows = [row for row in source.read() if row.wanted]
    if len({row.wanted for row in rows}) < 2:
        raise JobFailed(f"{source.ref} needs at least two different right answers (`wanted`)")
    parts = split(rows, options.seed, MOST, MOST)
    embedder = open_embedder(run.settings)
    vectors = {row.query: vector for row, vector in zip(rows, embedder.embed([row.query for row in rows]), strict=True)}
    learn, choose, sealed = (_table(part, vectors) for part in (parts.learn, parts.choose, parts.sealed))
    values = worth(*learn, *choose, options.k)
    helps = values >= 0
    test = _test(learn, helps, sealed, options)
    order = np.argsort(values, kind="stable")
    harmful = [
        (round(float(values[at]), 6), parts.learn[at].query, parts.learn[at].wanted)
        for at in order[:SHOWN].tolist()
        if values[at] < 0
    ]
    interval = f"[{test.low:.3f}, {test.high:.3f}]"
    verdict = f"the vote of the nearest examples changes by {test.mean:.3f} {interval} on held-out rows"
    if test.low < WORSE or helps.all():
        return TrainShotsReport("", f"nothing is left out: {verdict}", len(values), 0, test, harmful)
    made = dataset.write(
        run.settings.data_folder,
        options.name or f"{source.name}-helpful",
        [row for row, stays in zip(parts.learn, helps.tolist(), strict=True) if stays],
        counts={"dropped": int((~helps).sum())},
        query={"of": source.ref, "k": options.k, "seed": options.seed},
        job=run.job.id,
    )
    return TrainShotsReport(made.ref, verdict, int(helps.sum()), int((~helps).sum()), test, harmful)


def estimate(_settings: Settings, _options: TrainShotsOptions) -> Spent:
    return Spent()


def _table(rows: Sequence[DatasetRow], vectors: dict[str, Any]) -> tuple[Any, Any]:
    return np.stack([vectors[row.query] for row in rows]), np.array([row.wanted for row in rows])


def _test(learn: tuple[Any, Any], helps: Any, sealed: tuple[Any, Any], options: TrainShotsOptions) -> Paired:
    """Compare the vote of the helpful examples with the vote of all examples.

    The vote is tested on rows that were not used to compute the values.
    """
    all_of = vote(*learn, sealed[0], options.k)
    helpful = vote(learn[0][helps], learn[1][helps], sealed[0], options.k)
    right = [
        (new == label) - float(old == label)
        for old, new, label in zip(all_of, helpful, sealed[1].tolist(), strict=True)
    ]
    return paired(right, Random(options.seed))


JOB = JobKind("finds the labelled examples that help, and those that harm", TrainShotsOptions, run, estimate)
