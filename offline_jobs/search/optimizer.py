"""The port for optimizers, which search for a better candidate, and the log of candidates.

`Climb` is a small hill climber. `gepa_optimizer.py` implements the port with the package gepa.
"""

import importlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

from msgspec import Struct

from offline_jobs.engine.ledger import key_of
from offline_jobs.errors import JobFailed
from offline_jobs.search.candidate import Pieces
from offline_jobs.search.score import AnswerScore

MINIBATCH = 8


class Proposal(Struct, frozen=True):
    """A changed candidate. `by` is `rule: ...` or `critic`. `why` is the critic's explanation."""

    pieces: Pieces
    by: str
    why: str = ""


class SearchOver(Exception):
    """The search's share of the budget is used up."""


class SearchProblem(Protocol):
    """What an optimizer works on. Rows are identified by index: first the rows to learn from, then the rows to choose
    by."""

    start: Pieces
    """The best candidate at the start of the search."""
    learn: Sequence[int]
    choose: Sequence[int]

    @property
    def settled(self) -> bool:
        """Return whether the search should end.

        The search ends if all rows are answered correctly, or if too many proposals in a row brought no better score.
        """
        ...

    def weigh(self, pieces: Pieces, rows: Sequence[int]) -> list[AnswerScore]:
        """Score a candidate on these rows, one score per row. Raises `SearchOver` if the search's budget is used up."""
        ...

    def propose(self, pieces: Pieces) -> Proposal | None:
        """Return a changed candidate, or None if no change is left to try."""
        ...


class Optimizer(Protocol):
    """Searches until no change is left to try or `SearchOver` is raised. The problem logs all candidates."""

    def search(self, problem: SearchProblem, draw: Random) -> None: ...


class TriedCandidate(Struct, frozen=True):
    """A candidate with its scores. `parent` is the parent's index in the log, or -1 for the template itself."""

    pieces: Pieces
    by: str
    why: str
    parent: int
    outcomes: Mapping[int, AnswerScore]

    def mean(self, rows: Sequence[int]) -> float | None:
        """Return the mean score over these rows, or None if the candidate did not answer all these rows."""
        scores = [self.outcomes[row].score for row in rows if row in self.outcomes]
        return sum(scores) / len(rows) if rows and len(scores) == len(rows) else None

    @property
    def so_far(self) -> float:
        """The mean score over all rows that the candidate answered, or -1 if the candidate answered none."""
        scores = [outcome.score for outcome in self.outcomes.values()]
        return sum(scores) / len(scores) if scores else -1.0


def id_of(pieces: Pieces) -> str:
    return key_of(pieces)[:12]


def pareto(tried: Sequence[TriedCandidate], rows: Sequence[int]) -> list[int]:
    """Return the Pareto front, as indices of candidates.

    A candidate is on the front if no other candidate is at least as good in score, prompt tokens and time, and better
    in one of them.
    """
    points = {index: point for index, candidate in enumerate(tried) if (point := _point(candidate, rows)) is not None}
    return [
        index
        for index, point in points.items()
        if not any(_beats(other, point) for place, other in points.items() if place != index)
    ]


def _point(candidate: TriedCandidate, rows: Sequence[int]) -> tuple[float, float, float] | None:
    """Return score, tokens and time, with signs such that higher is better.

    Returns None if the candidate did not answer all of these rows.
    """
    mean = candidate.mean(rows)
    if mean is None:
        return None
    outcomes = [candidate.outcomes[row] for row in rows]
    tokens, time_us = sum(outcome.tokens for outcome in outcomes), sum(outcome.took_us for outcome in outcomes)
    return mean, -tokens / len(rows), -time_us / len(rows)


def _beats(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(a >= b for a, b in zip(first, second, strict=True))


class Climb:
    """Hill climbing. Tries each proposal on a few rows, scores promising ones on all rows to choose by, and continues
    from the best candidate."""

    def search(self, problem: SearchProblem, draw: Random) -> None:
        best, score = problem.start, _mean(problem.weigh(problem.start, problem.choose))
        while not problem.settled:
            few = draw.sample(list(problem.learn), min(MINIBATCH, len(problem.learn)))
            before = problem.weigh(best, few)
            proposal = problem.propose(best)
            if proposal is None:
                return
            if _mean(problem.weigh(proposal.pieces, few)) <= _mean(before):
                continue
            mean = _mean(problem.weigh(proposal.pieces, problem.choose))
            if mean > score:
                best, score = proposal.pieces, mean


def optimizer_named(engine: str) -> Optimizer:
    """Return the engine `climb` or `gepa`. Raises `JobFailed` if its package is not installed."""
    if engine == "climb":
        return Climb()
    try:
        optimizer: Optimizer = importlib.import_module("offline_jobs.search.gepa_optimizer").Gepa()
    except ImportError as error:
        raise JobFailed(
            "the package gepa is not installed: run pip install -e '.[jobs]', or use engine=climb"
        ) from error
    return optimizer


def _mean(outcomes: Sequence[AnswerScore]) -> float:
    return sum(outcome.score for outcome in outcomes) / len(outcomes)
