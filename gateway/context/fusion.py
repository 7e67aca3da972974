"""Puts the two searches of a collection together: by meaning (vectors) and by words (BM25).

Neither is better everywhere, so each collection has a weight and a floor of its own, which `tune.py` learns.
"""

import statistics
from collections.abc import Mapping, Sequence

from msgspec import Struct

Ranked = Sequence[tuple[int, float]]
"""Keys and scores, best first."""


class Tuning(Struct, frozen=True):
    """What was learned of a collection when it held `chunks` chunks."""

    weight: float = 0.7
    """The vectors' share; the rest is the words'."""
    floor: float = 0.2
    """What scores less is no answer."""
    chunks: int = 0


def fused(dense: Ranked, words: Ranked, weight: float, *, complete: bool = False) -> list[tuple[int, float]]:
    """All that either search found, best first, with `weight` x cosine + (1 - `weight`) x share of BM25.

    What the dense search did not find is at the most as near as its last; what holds none of the words has 0.
    `complete`: neither list was cut off, so what is not in it has 0.
    """
    cosines, shares = dict(dense), dict(words)
    last = 0.0 if complete or not dense else dense[-1][1]
    scores = {key: _mixed(key, cosines, shares, last, weight) for key in {**cosines, **shares}}
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def _mixed(key: int, cosines: Mapping[int, float], shares: Mapping[int, float], last: float, weight: float) -> float:
    return weight * cosines.get(key, last) + (1 - weight) * shares.get(key, 0.0)


def reordered(first: Sequence[float], second: Sequence[float], weight: float) -> list[int]:
    """The places of both scores' items by both, best first: each score counted from its mean in standard deviations,
    since the two are of different kinds."""
    mixed = [(1 - weight) * a + weight * b for a, b in zip(_standard(first), _standard(second), strict=True)]
    return sorted(range(len(mixed)), key=lambda place: -mixed[place])


def _standard(scores: Sequence[float]) -> list[float]:
    middle, spread = statistics.fmean(scores), statistics.pstdev(scores) or 1.0
    return [(score - middle) / spread for score in scores]


NEAR, SUPPORTERS = 3, 2
SUPPORT = 0.5
"""How much of the mean of its two best near chunks a chunk gains: an answer rarely ends where a chunk does, and the
part of a long document that a question is about scores in several places."""


def supported(ranked: Ranked, documents: Mapping[int, int]) -> list[tuple[int, float]]:
    """The same with each chunk's score raised by those at most `NEAR` places from it. `documents` says which document
    a key is of, and what it does not know is left out; the chunks of one have keys in its order."""
    scores = {key: score for key, score in ranked if key in documents}
    raised = [(key, score + SUPPORT * _beside(key, scores, documents)) for key, score in scores.items()]
    raised.sort(key=lambda pair: (-pair[1], pair[0]))
    return [(key, min(1.0, score)) for key, score in raised]


def _beside(key: int, scores: Mapping[int, float], documents: Mapping[int, int]) -> float:
    document = documents[key]
    near = [
        scores[other]
        for other in range(key - NEAR, key + NEAR + 1)
        if other in scores and other != key and documents[other] == document
    ]
    return max(0.0, sum(sorted(near)[-SUPPORTERS:])) / SUPPORTERS
