"""The signs of vectors: one bit a number, for a coarse search of large collections.

Vectors that point in similar directions differ in the sign of few of their numbers. Counting these differences reads a
thirty-second of the bytes that comparing the vectors reads. The vectors with the fewest differences are then compared.
`benchmarks/large.py` measures what this misses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gateway.ports import Vectors

    Signs = NDArray[np.uint64]

WORD_BITS = 64
BLOCK = 8192
"""The number of rows that are counted together. Their words stay in the processor's cache."""


def words_of(dimensions: int) -> int:
    """Return the number of 64-bit words that hold the signs of a vector."""
    return -(-dimensions // WORD_BITS)


def signs_of(vectors: Vectors, center: Vectors) -> Signs:
    """Return the signs of the differences from the center, the mean of the collection's vectors. Without it, numbers
    that have the same sign in all vectors would say nothing.

    vectors: [rows, dimensions], center: [dimensions] -> [rows, words]. The bits after the last dimension are 0.
    """
    import numpy as np

    packed = np.packbits(vectors > center, axis=1)
    missing = words_of(vectors.shape[1]) * WORD_BITS // 8 - packed.shape[1]
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, missing)))).view(np.uint64)


def differences(signs: Signs, query: Signs) -> Any:
    """Return for each row of `signs` the number of signs that differ from the query's. query: [words]"""
    import numpy as np

    counts = np.empty(len(signs), np.uint16)
    for first in range(0, len(signs), BLOCK):
        # column by column: numpy's sum over such short rows takes twice as long
        differing = np.bitwise_count(signs[first : first + BLOCK] ^ query)
        block = counts[first : first + BLOCK]
        block[:] = differing[:, 0]
        for word in range(1, differing.shape[1]):
            block += differing[:, word]
    return counts


def fewest(counts: Any, limit: int) -> Any:
    """Return the places of the `limit` lowest counts, in ascending order of the places. Of equal counts at the limit,
    the first are taken.
    """
    import numpy as np

    most = int(np.searchsorted(np.bincount(counts).cumsum(), limit))
    places = np.flatnonzero(counts <= most)
    if len(places) <= limit:
        return places
    at_limit = np.flatnonzero(counts[places] == most)
    return np.delete(places, at_limit[len(at_limit) - (len(places) - limit) :])
