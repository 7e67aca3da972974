"""The port for searches for a better candidate, the entries of their log, and a small hill climber.

`gepa_optimizer.py` implements the port with the gepa package.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

from msgspec import Struct

from offline_jobs.engine.ledger import key_of
from offline_jobs.search.candidate import Pieces
from offline_jobs.search.score import AnswerScore

MINIBATCH = 8


class Proposal(Struct, frozen=True):
    """A changed candidate and its author: `rule: ...` or `critic`. `why` is the critique."""

    pieces: Pieces
    by: str
    why: str = ""


class SearchOver(Exception):
    """The search's share of the budget is used up. Evaluations raise it."""


class SearchProblem(Protocol):
    """A search problem. Rows are named by their index: first the rows to learn from, then the rows to choose by."""

    start: Pieces
    """The best candidate when the search begins."""
    learn: Sequence[int]
    choose: Sequence[int]

    @property
    def settled(self) -> bool:
        """Whether the search should end: all rows are right, or too many proposals in a row did not help."""
        ...

    def weigh(self, pieces: Pieces, rows: Sequence[int]) -> list[AnswerScore]:
        """The scores of a candidate, one for each row. Raises `SearchOver`."""
        ...

    def propose(self, pieces: Pieces) -> Proposal | None:
        """A new candidate made from this one, or None if nothing is left to try on it."""
        ...


class Optimizer(Protocol):
    """Searches until nothing is left to try or `SearchOver` is raised. The candidates are in the problem's log."""

    def search(self, problem: SearchProblem, draw: Random) -> None: ...


class TriedCandidate(Struct, frozen=True):
    """One candidate with its scores. `parent` is the index of its parent in the log, -1 for the template."""

    pieces: Pieces
    by: str
    why: str
    parent: int
    outcomes: Mapping[int, AnswerScore]

    def mean(self, rows: Sequence[int]) -> float | None:
        """Its mean score over these rows; None if it was not tried on all of them."""
        scores = [self.outcomes[row].score for row in rows if row in self.outcomes]
        return sum(scores) / len(rows) if rows and len(scores) == len(rows) else None

    @property
    def so_far(self) -> float:
        """Its mean score over all rows that it answered; -1 if there are none."""
        scores = [outcome.score for outcome in self.outcomes.values()]
        return sum(scores) / len(scores) if scores else -1.0


def id_of(pieces: Pieces) -> str:
    return key_of(pieces)[:12]


def pareto(tried: Sequence[TriedCandidate], rows: Sequence[int]) -> list[int]:
    """The candidates that no other beats in score, prompt tokens and time at once."""
    points = {index: point for index, candidate in enumerate(tried) if (point := _point(candidate, rows)) is not None}
    return [
        index
        for index, point in points.items()
        if not any(_beats(other, point) for place, other in points.items() if place != index)
    ]


def _point(candidate: TriedCandidate, rows: Sequence[int]) -> tuple[float, float, float] | None:
    """Mean score, tokens and time, each with a sign so that higher is better."""
    mean = candidate.mean(rows)
    if mean is None:
        return None
    outcomes = [candidate.outcomes[row] for row in rows]
    tokens, time_us = sum(outcome.tokens for outcome in outcomes), sum(outcome.took_us for outcome in outcomes)
    return mean, -tokens / len(rows), -time_us / len(rows)


def _beats(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(a >= b for a, b in zip(first, second, strict=True))


class Climb:
    """Hill climbing: compares proposals on a few rows, scores the better ones on all rows for selection, continues from
    the best."""

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


def _mean(outcomes: Sequence[AnswerScore]) -> float:
    return sum(outcome.score for outcome in outcomes) / len(outcomes)
