"""Puts the two searches of a collection together: by meaning (vectors) and by words (BM25).

Neither is better everywhere, so each collection has a weight and a floor of its own, which `tune.py` learns.
An answer rarely ends where a chunk does, so what lies beside good chunks is chosen before what stands alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Keys = NDArray[np.int64]

Ranked = Sequence[tuple[int, float]]
"""Keys and scores, best first."""


class Tuning(Struct, frozen=True):
    """What was learned of a collection when it held `chunks` chunks."""

    weight: float = 0.7
    """The vectors' share; the rest is the words'."""
    floor: float = 0.2
    """What scores less is no answer."""
    chunks: int = 0


NEAR, SUPPORTERS = 3, 2
STEPS = tuple(step for step in range(-NEAR, NEAR + 1) if step)
SUPPORT = 0.5
"""How much of the mean of its two best near chunks a chunk gains: the part of a long document that a question is
about scores in several places."""
COMMON = 20
"""Cosines are counted from that of the one in this place where chunks are held against their neighbours: by so much
all chunks of a collection are near any question, and a neighbour that is no nearer than that says nothing."""
FOLLOWING = 0.2
"""How much of a chosen chunk's score the two next to it gain; at the most they come right after it."""


def fused(dense: Ranked, words: Ranked, weight: float, *, complete: bool = False) -> list[tuple[int, float]]:
    """All that either search found, best first, with `weight` x cosine + (1 - `weight`) x share of BM25.

    What the dense search did not find is at the most as near as its last; what holds none of the words has 0.
    `complete`: neither list was cut off, so what is not in it has 0.
    """
    keys, cosines, shares = _columns(dense, words, complete)
    return _best_first(keys, weight * cosines + (1 - weight) * shares)


def supported(ranked: Ranked, documents: Mapping[int, int]) -> list[tuple[int, float]]:
    """The same with each chunk's score raised by those at most `NEAR` places from it. `documents` says which document
    a key is of, and what it does not know is left out; the chunks of one have keys in its order."""
    import numpy as np

    live = sorted(pair for pair in ranked if pair[0] in documents)
    keys = np.array([key for key, _ in live], np.int64)
    scores = np.array([score for _, score in live], float)
    raised = _raised(scores, _near(keys, np.array([documents[key] for key, _ in live], np.int64)))
    return [(key, min(1.0, score)) for key, score in _best_first(keys, raised)]


def gathered(
    dense: Ranked, words: Ranked, weight: float, documents: Mapping[int, int], limit: int, *, complete: bool = False
) -> list[tuple[int, float]]:
    """What both searches found in the order in which it is to be used, at the most `limit`.

    The scores are those of `supported`, dealt out anew: so a floor means the same in all collections.
    """
    import numpy as np

    keys, cosines, shares = _columns(dense, words, complete)
    owners = np.array([documents.get(key, -1) for key in keys.tolist()], np.int64)
    live = owners >= 0
    keys, cosines, shares, owners = keys[live], cosines[live], shares[live], owners[live]
    near = _near(keys, owners)
    scores = _raised(weight * cosines + (1 - weight) * shares, near)
    common = dense[min(COMMON, len(dense)) - 1][1] if dense else 0.0
    above = weight * np.maximum(0.0, cosines - common) + (1 - weight) * shares
    order = _followed(_raised(above, near), near, limit)
    dealt = np.minimum(1.0, np.sort(scores)[::-1])
    return list(zip(keys[order].tolist(), dealt.tolist(), strict=False))


def followed(places: Keys, owners: Keys, scores: Any) -> list[int]:
    """The numbers of all scores, best first, where the two beside a chosen one gain by it. `places` go up; those that
    differ by one, of the same owner, lie beside each other."""
    return _followed(scores, _near(places, owners), len(scores))


def _columns(dense: Ranked, words: Ranked, complete: bool) -> tuple[Keys, Any, Any]:
    """The keys of both in their order, their cosines, and their shares of BM25."""
    import numpy as np

    near, holding = (np.array([key for key, _ in ranked], np.int64) for ranked in (dense, words))
    keys = np.unique(np.concatenate([near, holding]))
    cosines = np.full(len(keys), 0.0 if complete or not dense else dense[-1][1])
    shares = np.zeros(len(keys))
    cosines[np.searchsorted(keys, near)] = [score for _, score in dense]
    shares[np.searchsorted(keys, holding)] = [score for _, score in words]
    return keys, cosines, shares


def _best_first(keys: Keys, scores: Any) -> list[tuple[int, float]]:
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    return list(zip(keys[order].tolist(), scores[order].tolist(), strict=True))


def _near(keys: Keys, owners: Keys) -> tuple[Any, Any]:
    """For each step of `STEPS` the places of the keys so far away, and whether they are there in the same document:
    both [steps, keys]. `keys` go up."""
    import numpy as np

    wanted = keys + np.array(STEPS)[:, None]
    places = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    return places, (keys[places] == wanted) & (owners[places] == owners)


def _raised(scores: Any, near: tuple[Any, Any]) -> Any:
    """Each score with the support of the best near it."""
    import numpy as np

    if not len(scores):
        return scores
    places, there = near
    best = np.partition(np.where(there, scores[places], 0.0), -SUPPORTERS, axis=0)[-SUPPORTERS:]
    return scores + SUPPORT * best.sum(axis=0) / SUPPORTERS


def _followed(scores: Any, near: tuple[Any, Any], limit: int) -> list[int]:
    """The places of the best scores, where the two beside a chosen one gain by it."""
    import numpy as np

    beside = [(near[0][row].tolist(), near[1][row].tolist()) for row in (STEPS.index(-1), STEPS.index(1))]
    left = scores.copy()
    chosen: list[int] = []
    for _ in range(min(limit, len(scores))):
        place = int(np.argmax(left))
        score, left[place] = left[place], -np.inf
        chosen.append(place)
        for places, there in beside:
            other = places[place]
            if there[place] and left[other] > -np.inf:
                left[other] = min(score, left[other] + FOLLOWING * scores[place])
    return chosen


def reordered(first: Sequence[float], second: Sequence[float], weight: float) -> list[int]:
    """The places of both scores' items by both, best first: each score counted from its mean in standard deviations,
    since the two are of different kinds."""
    mixed = [(1 - weight) * a + weight * b for a, b in zip(_standard(first), _standard(second), strict=True)]
    return sorted(range(len(mixed)), key=lambda place: -mixed[place])


def _standard(scores: Sequence[float]) -> list[float]:
    middle, spread = statistics.fmean(scores), statistics.pstdev(scores) or 1.0
    return [(score - middle) / spread for score in scores]
