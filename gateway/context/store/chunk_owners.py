"""Keeps in memory the document of each chunk. A search needs the documents of hundreds of chunks, which are far apart
in the file.

A chunk never moves to another document, and no key is used twice. Therefore an entry stays valid, and only new chunks
must be read. The state of a document can change, so each search reads the state again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AT_ONCE = 500
"""The number of values in one statement. SQLite allows some thousands of them."""
T = TypeVar("T")
NONE = 0
"""The key that stands for no document."""


class Owners:
    """The document of each chunk in one catalog file. Several threads may share an instance."""

    def __init__(self) -> None:
        self._of: NDArray[np.int64] | None = None
        """An array with the key of each chunk's document. The index is the key of the chunk. `NONE` stands for a chunk
        that does not exist.
        """
        self._reading = threading.Lock()

    def read(self, database: sqlite3.Connection) -> NDArray[np.int64]:
        """Read the chunks that were added since the last call. Returns the array of documents."""
        import numpy as np

        with self._reading:
            known = np.zeros(1, np.int64) if self._of is None else self._of
            rows = "SELECT key, document FROM chunks INDEXED BY chunks_owners WHERE key >= ?"
            # the rows come as one text, since fetching them one by one takes ten times as long
            query = f"SELECT group_concat(key), group_concat(document) FROM ({rows})"
            columns = database.execute(query, (len(known),)).fetchone()
            if columns[0]:
                keys, documents = (np.fromstring(column, np.int64, sep=",") for column in columns)
                of = np.full(int(keys.max()) + 1, NONE, np.int64)
                of[: len(known)] = known
                of[keys] = documents
                known = of
            self._of = known
            return known

    def live(self, database: sqlite3.Connection, collection: str, keys: Sequence[int]) -> dict[int, int]:
        """Return the key of each chunk's live document, by the key of the chunk. A chunk is left out if it belongs to
        another collection or has no live document.
        """
        import numpy as np

        if not keys:
            return {}
        of = self._of
        if of is None or max(keys) >= len(of):
            of = self.read(database)
        chunks = np.array(keys, np.int64)
        documents = of[np.where((chunks < len(of)) & (chunks >= 0), chunks, NONE)].tolist()
        live = _live(database, collection, list(set(documents)))
        return {key: document for key, document in zip(keys, documents, strict=True) if document in live}


def _live(database: sqlite3.Connection, collection: str, documents: Sequence[int]) -> set[int]:
    live: set[int] = set()
    for some in groups(documents):
        rows = database.execute(
            f"SELECT key FROM documents WHERE key IN ({marks(some)}) AND collection = ? AND state = 'live'",
            (*some, collection),
        )
        live.update(key for (key,) in rows)
    return live


def groups(values: Sequence[T]) -> Iterable[Sequence[T]]:
    """Split the values into groups. Each group fits into one statement."""
    return (values[first : first + AT_ONCE] for first in range(0, len(values), AT_ONCE))


def marks(values: Sequence[object]) -> str:
    """Return the placeholders for these values in a statement, such as `?, ?, ?`."""
    return ", ".join("?" * len(values))
