"""The features of a portion's requests, in a file. They are computed once and used in every round of mining."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offline_jobs.discover.features import Feature, hashed
from offline_jobs.discover.known import COUNTERS
from offline_jobs.discover.sample import FEWEST_REQUESTS


class FeatureRows:
    """Collects the features of requests, to write them to a file."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._ends: list[int] = []
        self._hashes: list[int] = []
        self._weights: list[int] = []

    def add(self, request: str, features: list[Feature]) -> None:
        self._ids.append(hashed(request))
        self._hashes += [feature.hash for feature in features]
        self._weights += [feature.weight for feature in features]
        self._ends.append(len(self._hashes))

    def write(self, file: Path) -> int:
        """Write the features of the requests, and how often each occurs. Return the number of all features."""
        hashes = np.array(self._hashes, np.uint64)
        places, often = np.unique((hashes % np.uint64(COUNTERS)).astype(np.uint32), return_counts=True)
        np.savez(
            file,
            ids=np.array(self._ids, np.uint64),
            ends=np.array(self._ends, np.int64),
            hashes=hashes,
            weights=np.array(self._weights, np.uint8),
            places=places,
            often=often.astype(np.uint32),
        )
        return len(hashes)


def add_counts(file: Path, table: NDArray[np.uint32]) -> None:
    """Add how often each feature of a portion occurs to the counters, uint32 [COUNTERS]."""
    with np.load(file) as stored:
        table[stored["places"]] += stored["often"]


def most_telling(file: Path, table: NDArray[np.uint32]) -> dict[int, int]:
    """Return the hash of the most telling feature (see `mine.primary`) by the hash of the request's id.

    Requests without a frequent feature are left out.

    `table` holds the counters, uint32 [COUNTERS]. Features that share a counter seem more frequent than they are.
    """
    with np.load(file) as stored:
        ids, ends, hashes, weights = (stored[name] for name in ("ids", "ends", "hashes", "weights"))
    rows = np.repeat(np.arange(len(ids)), np.diff(ends, prepend=0))
    counts = table[hashes % np.uint64(COUNTERS)].astype(np.int64)
    frequent = counts >= FEWEST_REQUESTS
    rows, hashes, scores = rows[frequent], hashes[frequent], (counts * weights)[frequent]
    order = np.lexsort((hashes, scores, rows))
    is_best = np.diff(rows[order], append=-1) != 0  # the last of each row
    best = order[is_best]
    return dict(zip(ids[rows[best]].tolist(), hashes[best].tolist(), strict=True))
