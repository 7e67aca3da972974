"""Searches one collection of the built-in vector store. The files are mapped into memory.

Every vector of a small collection is compared with the query. In a large one, the vectors are chosen by their signs
first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.context.store.exact_files import Stamp, files_of, mapped
from gateway.context.store.exact_signs import MappedSigns
from gateway.errors import CollectionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gateway.ports import Vectors

GONE = -1
"""At an empty place, this value stands for the key of the chunk and for the key of the document."""
TOGETHER = 64
"""The number of scores in a block. The best scores of the blocks give a lower bound for the scores of the results."""
FEW = 0.25
"""If the candidates are less than this share of all vectors, it is faster to gather them than to compare all
vectors.
"""


COMPARED, COMPARED_EACH = 8192, 32
"""The number of vectors that are compared after the choice by signs: the least number, and the number for each result.
With a thousand, a search of 500,000 would take 2 ms less, and miss 2 % of the ten nearest and 16 % of the 240 nearest.
"""


class MappedIndex:
    """The files of a collection, mapped for reading. Raises `ValueError` if a file is shorter than the stamp says.

    If a search has more than `exact_up_to` vectors to compare, it chooses some by their signs.
    """

    def __init__(self, folder: Path, stamp: Stamp, exact_up_to: int) -> None:
        import numpy as np

        self.stamp = stamp
        self._exact_up_to = exact_up_to
        self.pairs: NDArray[np.int64] = np.zeros((0, 2), np.int64)
        self.vectors: NDArray[np.float32] = np.zeros((0, stamp.head.dimensions), np.float32)
        self._signs: MappedSigns | None = None
        if stamp.rows:
            pairs, vectors = files_of(folder, stamp.head)
            self.pairs = mapped(pairs, np.int64, (stamp.rows, 2))
            self.vectors = mapped(vectors, np.float32, (stamp.rows, stamp.head.dimensions))
        if stamp.rows > exact_up_to:
            with contextlib.suppress(FileNotFoundError, ValueError):  # none, or not complete: all vectors are compared
                self._signs = MappedSigns(folder, stamp)

    def nearest(self, vector: Vectors, limit: int, documents: Sequence[int] | None) -> list[tuple[int, float]]:
        import numpy as np

        query = np.ascontiguousarray(vector, np.float32).reshape(-1)
        check_dimensions(self.stamp.head.dimensions, query.shape[0])
        if documents is not None:
            best = self._best_of(query, np.isin(self.pairs[:, 1], np.asarray(documents, np.int64)), limit)
        elif self._signs is None:
            best = self._best(self.vectors @ query, None, limit)
            if any(key == GONE for key, _ in best):  # empty places, whose vectors are zeros
                best = self._best_of(query, self.pairs[:, 0] != GONE, limit)
        else:
            best = self._best_of(query, self.pairs[:, 0] != GONE, limit)
        return [(key, score) for key, score in best if key != GONE and score > -np.inf]

    def _best_of(self, query: Vectors, candidates: Any, limit: int) -> list[tuple[int, float]]:
        """Return (key, score) for the nearest of the candidates, a mask."""
        import numpy as np

        count = int(np.count_nonzero(candidates))
        if self._signs is not None and count > FEW * self._exact_up_to:
            rows = self._signs.nearest(query, candidates, max(COMPARED, COMPARED_EACH * limit))
        elif count >= FEW * len(candidates):
            return self._best(np.where(candidates, self.vectors @ query, -np.inf), None, limit)
        else:
            rows = np.flatnonzero(candidates)
        return self._best(self.vectors[rows] @ query, rows, limit)

    def _best(self, scores: Any, rows: Any, limit: int) -> list[tuple[int, float]]:
        """Return (key, score) for the highest scores, the best first. `rows` gives the place of each score. None stands
        for all places.
        """
        import numpy as np

        best = np.flatnonzero(scores >= _least_of_best(scores, limit))
        best = best[np.lexsort((best, -scores[best]))][:limit]
        places = best if rows is None else rows[best]
        return list(zip(self.pairs[places, 0].tolist(), scores[best].tolist(), strict=True))

    def count(self) -> int:
        import numpy as np

        return int(np.count_nonzero(self.pairs[:, 0] != GONE))


def _least_of_best(scores: Any, limit: int) -> float:
    """Return a lower bound for the score at rank `limit`. At least `limit` blocks have a score that reaches this bound.

    Only the best scores of the blocks are partitioned. This takes a fraction of the time that partitioning all scores
    would take.
    """
    import numpy as np

    blocks = scores[: len(scores) // TOGETHER * TOGETHER].reshape(-1, TOGETHER).max(axis=1)
    if not 0 < limit < len(blocks):
        return -np.inf
    return float(np.partition(blocks, len(blocks) - limit)[len(blocks) - limit])


def check_dimensions(made: int, given: int) -> None:
    if made != given:
        raise CollectionError(
            f"the collection's vectors have {made} dimensions and these {given}; if the embedder was changed, "
            "remove the collection and add its files again"
        )
