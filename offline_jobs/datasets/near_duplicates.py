"""Finds near-duplicates by MinHash. Near-duplicates are texts that share most of their five-letter pieces.

Sources: Broder 1997, On the resemblance and containment of documents; for banding: Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, ch. 3. All arithmetic uses integers and fixed constants, so a text always has the same
signature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PIECE = 5  # letters
HASHES = 32
# texts that agree in a band of this many hashes are compared; 98 % of pairs with a likeness of 0.8 are found
ROWS = 4
ALIKE = 0.75  # two texts are near-duplicates if at least this share of their hashes is equal
LONGEST = 4000

Signature = NDArray[np.uint32]
_RANDOM = np.random.Generator(np.random.PCG64(20_260_101))
_FACTORS = (_RANDOM.integers(1, 2**63, HASHES, dtype=np.uint64) << np.uint64(1)) | np.uint64(1)
_SHIFTS = _RANDOM.integers(0, 2**63, HASHES, dtype=np.uint64)
_POWERS = np.array([pow(1_099_511_628_211, power, 2**64) for power in range(PIECE)], np.uint64)


def signature(text: str) -> Signature:
    """Return the MinHash signature of a text, uint32 [HASHES]. Letter case and white space are ignored."""
    plain = " ".join(text.lower().split())[:LONGEST].ljust(PIECE)
    letters = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(letters, PIECE)
    pieces = np.unique((windows * _POWERS).sum(axis=1, dtype=np.uint64))
    spread = pieces[:, None] * _FACTORS + _SHIFTS
    lowest: Signature = (spread >> np.uint64(32)).min(axis=0).astype(np.uint32)
    return lowest


def firsts(signatures: Signature) -> NDArray[np.bool_]:
    """Return a mask of the texts to keep. A text is dropped if it is a near-duplicate of an earlier text that is kept.

    signatures: [texts, HASHES] -> [texts]
    """
    texts = len(signatures)
    distinct = np.ones(texts, np.bool_)
    bands = _bands(signatures)
    shared = _shared(bands)
    owners: dict[tuple[int, int], list[int]] = {}
    for text in np.flatnonzero(shared.any(axis=1)).tolist():
        places = [(band, int(bands[text, band])) for band in np.flatnonzero(shared[text]).tolist()]
        near = sorted({owner for place in places for owner in owners.get(place, ())})
        if near and _likeness(signatures[text], signatures[near]) >= ALIKE:
            distinct[text] = False
            continue
        for place in places:
            owners.setdefault(place, []).append(text)
    return distinct


def distinct_rows(
    kinds: NDArray[np.uint8],
    labelled: NDArray[np.bool_],
    signatures: Signature,
    keep: Sequence[int],
    most: int,
) -> NDArray[np.bool_]:
    """Return a mask of up to `most` rows of each kind in `keep`, without near-duplicates. Labelled rows come first.

    kinds, labelled: [rows]; signatures: [rows, HASHES] -> [rows]
    """
    chosen = np.zeros(len(kinds), np.bool_)
    for kind in keep:
        rows = np.flatnonzero(kinds == kind)
        if len(rows):
            rows = rows[np.argsort(~labelled[rows], kind="stable")]
            chosen[rows[firsts(signatures[rows])][:most]] = True
    return chosen


def _likeness(text: Signature, others: Signature) -> float:
    return float((others == text).mean(axis=1).max())


def _bands(signatures: Signature) -> NDArray[np.uint64]:
    """Combine each band of ROWS hashes into one number, [texts, HASHES // ROWS]."""
    groups = signatures.reshape(len(signatures), HASHES // ROWS, ROWS).astype(np.uint64)
    factors = _FACTORS[:ROWS]
    bands: NDArray[np.uint64] = (groups * factors).sum(axis=2, dtype=np.uint64)
    return bands


def _shared(bands: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return a mask of the band numbers that occur in at least two texts. Only texts with such a number are
    compared."""
    shared = np.zeros(bands.shape, np.bool_)
    for band in range(bands.shape[1]):
        _, inverse, counts = np.unique(bands[:, band], return_inverse=True, return_counts=True)
        shared[:, band] = counts[inverse] > 1
    return shared


def likeness(first: str, second: str) -> float:
    """Return the share of pieces that two texts have in common, as estimated from their signatures, from 0 to 1."""
    return float((signature(first) == signature(second)).mean())
