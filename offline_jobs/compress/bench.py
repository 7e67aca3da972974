"""Measures the speeds of several files in turns, so that other load on the machine affects all of them alike."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from gateway.backends.local.variants import Speeds
from offline_jobs.compress.measure import speeds_of


def median_speeds(models: Sequence[tuple[Path, str]], threads: int, runs: int) -> list[Speeds]:
    """The median speeds of `runs` measurements for each (file, type of cache)."""
    rounds = [
        [speeds_of(path, _unlimited, cache=cache, threads=threads) for path, cache in models] for _ in range(runs)
    ]
    return [_median(each) for each in zip(*rounds, strict=True)]


def _median(runs: Sequence[Speeds]) -> Speeds:
    return Speeds(
        runs[0].threads,
        median(run.read for run in runs),
        median(run.write_1 for run in runs),
        median(run.write_8 for run in runs),
    )


def _unlimited() -> None:
    """A measurement at the command line has no budget."""
