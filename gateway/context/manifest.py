"""What has been ingested: one row a document, in SQLite in the data folder.

A document is in the manifest only when all its chunks are in the store, so an ingest that was
killed goes on with the document where it stopped.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    collection TEXT NOT NULL,
    source TEXT NOT NULL,
    recipe TEXT NOT NULL,
    chunks INTEGER NOT NULL,
    PRIMARY KEY (collection, source)
) STRICT;
CREATE TABLE IF NOT EXISTS embedders (
    collection TEXT PRIMARY KEY,
    probe BLOB NOT NULL
) STRICT;
"""


class Entry(Struct, frozen=True):
    """A document that is in the store. `recipe` is a hash of its bytes and of how they were cut."""

    source: str
    recipe: str
    chunks: int


class Manifest:
    """Opens its file for each use: several processes may have one, and nothing needs closing."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def entry(self, collection: str, source: str) -> Entry | None:
        return next((entry for entry in self.entries(collection) if entry.source == source), None)

    def entries(self, collection: str) -> list[Entry]:
        with self._connected() as database:
            rows = database.execute(
                "SELECT source, recipe, chunks FROM documents WHERE collection = ? ORDER BY source", (collection,)
            )
            return [Entry(*row) for row in rows]

    def put(self, collection: str, entry: Entry) -> None:
        with self._connected() as database:
            database.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)",
                (collection, entry.source, entry.recipe, entry.chunks),
            )

    def forget(self, collection: str, source: str | None = None) -> None:
        """Take out one document, or all that is known of the collection."""
        with self._connected() as database:
            if source is not None:
                database.execute("DELETE FROM documents WHERE collection = ? AND source = ?", (collection, source))
                return
            database.execute("DELETE FROM documents WHERE collection = ?", (collection,))
            database.execute("DELETE FROM embedders WHERE collection = ?", (collection,))

    def probe(self, collection: str) -> bytes:
        """The vector that this collection's embedder gave a fixed text; empty if there is none yet."""
        with self._connected() as database:
            row = database.execute("SELECT probe FROM embedders WHERE collection = ?", (collection,)).fetchone()
            return row[0] if row else b""

    def put_probe(self, collection: str, probe: bytes) -> None:
        with self._connected() as database:
            database.execute("INSERT OR REPLACE INTO embedders VALUES (?, ?)", (collection, probe))

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.file, timeout=10)) as database:
            database.executescript(SCHEMA)
            with database:
                yield database
