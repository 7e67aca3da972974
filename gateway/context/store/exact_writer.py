"""Changes a collection of the built-in vector store. Vectors are appended and removed, and files are compacted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.context.store.exact_files import (
    PAIR,
    IndexHead,
    files_of,
    head_of,
    mapped,
    put,
    rows_in,
    signs_files,
    write_head,
)
from gateway.context.store.exact_index import GONE, check_dimensions
from gateway.context.store.exact_signs import SignsWriter
from gateway.context.store.shared_folder import SharedFolder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gateway.ports import Vectors

EMPTY_PLACES = 1024
"""The files are written anew only if more places than this are empty."""


class IndexWriter:
    """Changes one collection. The writer holds the lock of the store, so that only one process on the machine writes at
    a time.
    """

    def __init__(self, store: SharedFolder, folder: Path, exact_up_to: int) -> None:
        self._folder = folder
        self._exact_up_to = exact_up_to
        self._using = store.use(writing=True)

    def __enter__(self) -> IndexWriter:
        self._using.__enter__()
        self._folder.mkdir(exist_ok=True)
        for copy in self._folder.glob("columns.*"):
            copy.unlink(missing_ok=True)  # versions before 0.2 kept a second copy of the vectors
        self._head = head_of(self._folder)
        return self

    def __exit__(self, *error: Any) -> None:
        self._using.__exit__(*error)

    def append(self, document: int, keys: Sequence[int], vectors: Vectors) -> None:
        """Append vectors. Their keys are written last, and a vector without a key does not count. Therefore an
        interrupted call has no effect.
        """
        import numpy as np

        if self._head is None:
            self._head = IndexHead(int(vectors.shape[1]))
            write_head(self._folder, self._head)
        check_dimensions(self._head.dimensions, int(vectors.shape[1]))
        pairs, file = files_of(self._folder, self._head)
        rows = rows_in(pairs)
        put(file, rows * self._head.dimensions * 4, np.ascontiguousarray(vectors, np.float32).tobytes())
        self._sign(rows, rows + len(keys))
        put(pairs, rows * PAIR, np.array([(key, document) for key in keys], np.int64).tobytes())

    def _sign(self, present: int, rows: int) -> None:
        """Write the signs of the vectors up to `rows` if the collection is large. Those up to `present` may exist."""
        assert self._head is not None
        if rows > self._exact_up_to:
            SignsWriter(self._folder, self._head).complete(present, rows)

    def remove_keys(self, keys: Iterable[int]) -> int:
        return self._remove(0, list(keys))

    def remove_documents(self, documents: Sequence[int] | None) -> int:
        return self._remove(1, documents)

    def _remove(self, column: int, values: Sequence[int] | None) -> int:
        """Overwrite the vectors whose entry in `column` is one of the values, and return their number. Column 0 holds
        the keys of chunks, and column 1 the keys of documents. If `values` is None, all vectors are overwritten.
        """
        import numpy as np

        if self._head is None:
            return 0
        files = files_of(self._folder, self._head)
        rows = rows_in(files[0])
        if not rows:
            return 0
        pairs = mapped(files[0], np.int64, (rows, 2), writable=True)
        if values is not None and (not values or min(values) > pairs[:, column].max()):
            return 0  # nearly every call has only new keys, so that no search for each key is needed
        vectors = mapped(files[1], np.float32, (rows, self._head.dimensions), writable=True)
        going = (pairs[:, 0] != GONE) & (True if values is None else np.isin(pairs[:, column], list(values)))
        pairs[going] = GONE
        vectors[going] = 0.0
        SignsWriter(self._folder, self._head).clear(np.flatnonzero(going))
        count = int(np.count_nonzero(going))
        if count and np.count_nonzero(pairs[:, 0] == GONE) > max(EMPTY_PLACES, rows // 2):
            self._compact(pairs, vectors)
        return count

    def _compact(self, pairs: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Write the remaining vectors as the next generation, and then change the head. Readers of the old generation
        can go on.
        """
        assert self._head is not None
        head = IndexHead(self._head.dimensions, self._head.generation + 1)
        filled = pairs[:, 0] != GONE
        for file, rows in zip(files_of(self._folder, head), (pairs[filled], vectors[filled]), strict=True):
            file.write_bytes(rows.tobytes())
        before, self._head = self._head, head
        self._sign(0, int(filled.sum()))
        write_head(self._folder, head)
        for file in (*files_of(self._folder, before), *signs_files(self._folder, before)):
            file.unlink(missing_ok=True)
