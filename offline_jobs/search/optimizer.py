"""The search for a better candidate: what a search needs, what it leaves behind, and a small one of our own.

`search_gepa.py` puts the gepa package behind the same port.
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
    """A changed candidate, and who changed it: `rule: ...` or `critic`. `why` is the critique."""

    pieces: Pieces
    by: str
    why: str = ""


class SearchOver(Exception):
    """The search's share of the budget is used up. Raised out of an evaluation."""


class SearchProblem(Protocol):
    """What is to be searched. Rows are named by their index: first those to learn from, then those to choose by."""

    start: Pieces
    """The best that is known when the search begins."""
    learn: Sequence[int]
    choose: Sequence[int]

    @property
    def settled(self) -> bool:
        """Whether to go on is hopeless, or has nothing to gain."""
        ...

    def weigh(self, pieces: Pieces, rows: Sequence[int]) -> list[AnswerScore]:
        """Raises `SearchOver`."""
        ...

    def propose(self, pieces: Pieces) -> Proposal | None:
        """Something new made of this candidate, or None if nothing is left to try on it."""
        ...


class Optimizer(Protocol):
    """Searches until nothing is left to try or `SearchOver` is raised. What it found is in the problem's log."""

    def search(self, problem: SearchProblem, draw: Random) -> None: ...


class TriedCandidate(Struct, frozen=True):
    """One candidate with what is known of it. `parent` is its place in the list, -1 for the start."""

    pieces: Pieces
    by: str
    why: str
    parent: int
    outcomes: Mapping[int, AnswerScore]

    def mean(self, rows: Sequence[int]) -> float | None:
        """Its mean score over these rows; None if it was not tried on all of them."""
        known = [self.outcomes[row].score for row in rows if row in self.outcomes]
        return sum(known) / len(rows) if rows and len(known) == len(rows) else None

    @property
    def so_far(self) -> float:
        """Its mean score over all that it answered; -1 if that is nothing."""
        scores = [one.score for one in self.outcomes.values()]
        return sum(scores) / len(scores) if scores else -1.0


def id_of(pieces: Pieces) -> str:
    return key_of(pieces)[:12]


def pareto(tried: Sequence[TriedCandidate], rows: Sequence[int]) -> list[int]:
    """Those that no other beats in score, prompt tokens and time at once."""
    points = {index: point for index, one in enumerate(tried) if (point := _point(one, rows)) is not None}
    return [
        index
        for index, point in points.items()
        if not any(_beats(other, point) for place, other in points.items() if place != index)
    ]


def _point(one: TriedCandidate, rows: Sequence[int]) -> tuple[float, float, float] | None:
    """Higher is better in each."""
    mean = one.mean(rows)
    if mean is None:
        return None
    seen = [one.outcomes[row] for row in rows]
    return mean, -sum(outcome.tokens for outcome in seen) / len(rows), -sum(one.took_us for one in seen) / len(rows)


def _beats(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return first != second and all(a >= b for a, b in zip(first, second, strict=True))


class Climb:
    """Propose, compare on a few rows, weigh what is better on the rows to choose by; go on from the best."""

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
            found = _mean(problem.weigh(proposal.pieces, problem.choose))
            if found > score:
                best, score = proposal.pieces, found


def _mean(outcomes: Sequence[AnswerScore]) -> float:
    return sum(one.score for one in outcomes) / len(outcomes)
