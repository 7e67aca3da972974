"""The files with the signs of a large collection of the built-in vector store: writing them, and choosing vectors by
them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.context.store.exact_files import IndexHead, Stamp, files_of, mapped, put, signs_files
from gateway.context.store.signs import differences, fewest, signs_of, words_of

if TYPE_CHECKING:
    from gateway.ports import Vectors

FEWEST_DIMENSIONS = 128
"""Vectors with fewer dimensions have no signs, which would say too little."""
BLOCK = 65_536
"""The number of vectors whose signs are computed together."""
FAR = 65_535
"""Stands for the number of differences of a vector that a search leaves out."""


class SignsWriter:
    """Writes the signs of one generation. Its caller holds the lock of the store."""

    def __init__(self, folder: Path, head: IndexHead) -> None:
        self._head = head
        self._center, self._signs = signs_files(folder, head)
        self._vectors = files_of(folder, head)[1]
        self._row_bytes = words_of(head.dimensions) * 8

    def complete(self, present: int, rows: int) -> None:
        """Write the signs that are missing up to `rows`. Signs after `present` are of a write that was broken off."""
        import numpy as np

        if self._head.dimensions < FEWEST_DIMENSIONS:
            return
        vectors = mapped(self._vectors, np.float32, (rows, self._head.dimensions))
        if not self._center.exists():
            self._signs.unlink(missing_ok=True)
            self._write_center(vectors)
        center = read_center(self._center, self._head)
        for first in range(min(present, self._rows()), rows, BLOCK):
            put(self._signs, first * self._row_bytes, signs_of(vectors[first : first + BLOCK], center).tobytes())

    def clear(self, places: Any) -> None:
        """Overwrite the signs of removed vectors."""
        import numpy as np

        if rows := self._rows():
            signs = mapped(self._signs, np.uint64, (rows, self._row_bytes // 8), writable=True)
            signs[places[places < rows]] = 0

    def _rows(self) -> int:
        return self._signs.stat().st_size // self._row_bytes if self._signs.exists() else 0

    def _write_center(self, vectors: Vectors) -> None:
        import numpy as np

        total = np.zeros(self._head.dimensions, np.float64)
        for first in range(0, len(vectors), BLOCK):
            total += vectors[first : first + BLOCK].sum(axis=0)
        draft = self._center.with_suffix(f".{os.getpid()}.tmp")
        draft.write_bytes((total / len(vectors)).astype(np.float32).tobytes())
        draft.replace(self._center)


def read_center(file: Path, head: IndexHead) -> Vectors:
    import numpy as np

    center = np.frombuffer(file.read_bytes(), np.float32)
    if len(center) != head.dimensions:
        raise ValueError(f"{file.name} has {len(center)} numbers and not {head.dimensions}")
    return center


class MappedSigns:
    """The signs of a collection, mapped for reading. Raises `ValueError` or `FileNotFoundError` if they are not
    complete.
    """

    def __init__(self, folder: Path, stamp: Stamp) -> None:
        import numpy as np

        center, signs = signs_files(folder, stamp.head)
        self._center = read_center(center, stamp.head)
        self._signs = mapped(signs, np.uint64, (stamp.rows, words_of(stamp.head.dimensions)))

    def nearest(self, query: Vectors, candidates: Any, limit: int) -> Any:
        """Return the places of the candidates whose signs differ least from the query's. `candidates` is a mask."""
        counts = differences(self._signs, signs_of(query[None], self._center)[0])
        counts[~candidates] = FAR
        places = fewest(counts, limit)
        return places[counts[places] < FAR]
