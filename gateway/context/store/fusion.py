"""Merges the two searches of a collection: by meaning (vectors) and by words (BM25).

Both searches have the same weight. A weight that was learned for each collection gave no better results (token recall
0.943 with and without it; `benchmarks/retrieval.py`). `relevance.py` estimates whether the collection has an answer at
all. An answer often continues in the next chunk, so a chunk beside good ones is preferred to a chunk that stands alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Keys = NDArray[np.int64]

Ranked = Sequence[tuple[int, float]]
"""(key, score) for each chunk, the best first."""
VECTORS_SHARE = 0.5
"""The weight of the cosine in a score. The search by words has the rest."""


NEAR, SUPPORTERS = 3, 2
STEPS = tuple(step for step in range(-NEAR, NEAR + 1) if step)
SUPPORT = 0.25
"""This share of the mean score of a chunk's two best neighbours is added to the score of the chunk. In a long document
that answers a question, several chunks have a score.
"""
COMMON = 20
"""When the order of the results is computed, the cosine at this rank is subtracted from each cosine. Most chunks of a
collection have about this cosine with any question.
"""
FOLLOWING = 0.2
"""This share of a chosen chunk's score is added to the scores of the two chunks beside it. The raised scores are at
most the score of the chosen chunk.
"""


def fused(dense: Ranked, words: Ranked, weight: float, *, complete: bool = False) -> list[tuple[int, float]]:
    """Merge the results of both searches, the best first. A score is `weight` x cosine + (1 - `weight`) x share of
    BM25.

    A chunk that is missing in `dense` gets the lowest cosine in `dense`. A chunk that is missing in `words` gets the
    share 0. `complete` says that `dense` was not cut off. In this case, a chunk that is missing in `dense` gets the
    cosine 0 instead of the lowest cosine.
    """
    keys, cosines, shares = _columns(dense, words, complete)
    return _best_first(keys, weight * cosines + (1 - weight) * shares)


def supported(ranked: Ranked, documents: Mapping[int, int]) -> list[tuple[int, float]]:
    """Raise the score of each chunk by the scores of the chunks at most `NEAR` places away.

    `documents` gives the document of each chunk, by key. Chunks without a document are dropped. The chunks of a
    document have ascending keys.
    """
    import numpy as np

    live = sorted(pair for pair in ranked if pair[0] in documents)
    keys = np.array([key for key, _ in live], np.int64)
    scores = np.array([score for _, score in live], float)
    raised = _raised(scores, _near(keys, np.array([documents[key] for key, _ in live], np.int64)))
    return [(key, min(1.0, score)) for key, score in _best_first(keys, raised)]


def gathered(
    dense: Ranked, words: Ranked, weight: float, documents: Mapping[int, int], limit: int, *, complete: bool = False
) -> list[tuple[int, float]]:
    """Return the best `limit` results of both searches, in the order in which to use them.

    The order and the scores are computed separately. The n-th result gets the n-th highest score of `supported`, so
    that a minimum score has the same meaning in all collections.
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
    """Return the indices of all scores, the best first. Choosing a chunk raises the scores of the two chunks beside it.

    `places` ascend. Two places are neighbours if they have the same owner and differ by one.
    """
    return _followed(scores, _near(places, owners), len(scores))


def _columns(dense: Ranked, words: Ranked, complete: bool) -> tuple[Keys, Any, Any]:
    """Return the keys in the two results in ascending order, with the cosine and the share of BM25 of each key."""
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
    """For each step in `STEPS` and each key, find the key that is equal to the sum of the key and the step.

    Return the index of the key that was found, and whether this key exists and is in the same document. Both arrays
    have the shape [steps, keys]. `keys` ascend.
    """
    import numpy as np

    neighbours = keys + np.array(STEPS)[:, None]
    places = np.minimum(np.searchsorted(keys, neighbours), max(0, len(keys) - 1))
    return places, (keys[places] == neighbours) & (owners[places] == owners)


def _raised(scores: Any, near: tuple[Any, Any]) -> Any:
    """Return the scores. Each score is raised by the scores of its best neighbours."""
    import numpy as np

    if not len(scores):
        return scores
    places, there = near
    best = np.partition(np.where(there, scores[places], 0.0), -SUPPORTERS, axis=0)[-SUPPORTERS:]
    return scores + SUPPORT * best.sum(axis=0) / SUPPORTERS


def _followed(scores: Any, near: tuple[Any, Any], limit: int) -> list[int]:
    """Return the indices of the `limit` best scores, the best first. Choosing a chunk raises the scores of the two
    chunks beside it.
    """
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
    """Return the indices of the items in descending order of the weighted sum of their two scores.

    The two kinds of scores have different scales. Each score is therefore converted to standard deviations from the
    mean of its kind.
    """
    mixed = [(1 - weight) * a + weight * b for a, b in zip(_standard(first), _standard(second), strict=True)]
    return sorted(range(len(mixed)), key=lambda place: -mixed[place])


def _standard(scores: Sequence[float]) -> list[float]:
    middle, spread = statistics.fmean(scores), statistics.pstdev(scores) or 1.0
    return [(score - middle) / spread for score in scores]
