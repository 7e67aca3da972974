"""What is in the collections: their names and owners, documents, chunks, words; one SQLite file in the data folder.

The catalog is the truth. A vector store keeps vectors under numbers that mean something here alone; what it
finds counts only where the catalog has a live document for it. So a document comes, changes and goes in one
transaction, whatever became of its vectors, and what is deleted here is overwritten on the disk.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any

from msgspec import Struct

from gateway.context.store import lexical
from gateway.context.store.chunk_owners import Owners
from gateway.errors import CollectionError

SCHEMA = """
CREATE TABLE IF NOT EXISTS collections (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    active INTEGER NOT NULL,
    expires_days INTEGER NOT NULL DEFAULT 0,
    metadata TEXT NOT NULL DEFAULT '{}',
    probe BLOB NOT NULL DEFAULT x'',
    tuning TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS collections_by_name ON collections (name);
CREATE TABLE IF NOT EXISTS documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    source TEXT NOT NULL,
    file TEXT NOT NULL,
    recipe TEXT NOT NULL,
    state TEXT NOT NULL,
    attributes TEXT NOT NULL,
    title TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS documents_by_source ON documents (collection, source);
CREATE TABLE IF NOT EXISTS chunks (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL,
    id TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    heading TEXT NOT NULL,
    page INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS chunks_by_document ON chunks (document, start);
CREATE INDEX IF NOT EXISTS chunks_owners ON chunks (key, document);
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS attachments (
    collection TEXT NOT NULL,
    file TEXT NOT NULL,
    batch TEXT NOT NULL,
    status TEXT NOT NULL,
    error_code TEXT NOT NULL,
    error TEXT NOT NULL,
    attributes TEXT NOT NULL,
    chunking TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (collection, file)
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY,
    collection TEXT NOT NULL,
    created INTEGER NOT NULL,
    cancelled INTEGER NOT NULL
) STRICT;
"""

VERSION = 4
"""Of the file. In a version 1 the words were kept under other numbers; a version 2 lacked `chunks_owners`, a version 3
the common words' counts."""
MOST_IDLE = 8
"""Connections that are kept open for the next use; opening one costs more than most searches in it."""
MAPPED = 1 << 30
"""Bytes of the file that are read where the system keeps them anyway: a search reads hundreds of pages, and fetching
each costs more than what is done with it."""
DAY_S = 86_400


class Collection(Struct, frozen=True):
    """A collection, or vector store. `owner` is the key that made it; "" is the operator, who shares it with all."""

    id: str
    owner: str
    name: str
    created: int
    active: int
    expires_days: int = 0
    metadata: Mapping[str, str] = {}
    tuning: str = ""
    """What was learned about searching it, as JSON; "" before anything was."""

    @property
    def expires(self) -> int:
        """When it ends unless it is used before; 0: never."""
        return self.active + self.expires_days * DAY_S if self.expires_days else 0


COLUMNS = "id, owner, name, created, active, expires_days, metadata, tuning"


def catalog_file(data_folder: Path) -> Path:
    return data_folder / "catalog.sqlite3"


class Catalog:
    """Threads and processes may share its file. Each use has a connection to itself."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.common_words: lexical.Remembered = {}
        self.owners = Owners()
        self._inode = 0
        self._idle: list[tuple[int, sqlite3.Connection]] = []

    def open(self) -> None:
        """Read what each search needs."""
        with self.reading() as database:
            self.owners.read(database)

    def create(self, owner: str, name: str, expires_days: int = 0, metadata: Mapping[str, str] | None = None) -> str:
        """A new, empty collection; its id."""
        id, now = f"vs_{secrets.token_hex(12)}", int(time())
        with self.writing() as database:
            told = json.dumps(metadata or {}, ensure_ascii=False)
            database.execute(
                "INSERT INTO collections (id, owner, name, created, active, expires_days, metadata) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (id, owner, name, now, now, expires_days, told),
            )
            lexical.create(database, id)
        return id

    def shared(self, name: str) -> Collection | None:
        """The operator's collection of that name."""
        return next((found for found in self.collections() if not found.owner and found.name == name), None)

    def collections(self) -> list[Collection]:
        """Those that are not over, in the order in which they were made."""
        now = int(time())
        with self.reading() as database:
            rows = database.execute(f"SELECT {COLUMNS} FROM collections ORDER BY created, rowid")
            return [found for found in map(_collection, rows) if not found.expires or found.expires > now]

    def expired(self) -> list[Collection]:
        now = int(time())
        with self.reading() as database:
            rows = database.execute(f"SELECT {COLUMNS} FROM collections WHERE expires_days > 0")
            return [found for found in map(_collection, rows) if found.expires <= now]

    def collection(self, id: str) -> Collection | None:
        """By its id; also one that is over and not yet removed."""
        with self.reading() as database:
            row = database.execute(f"SELECT {COLUMNS} FROM collections WHERE id = ?", (id,)).fetchone()
            return _collection(row) if row else None

    def change(self, id: str, **values: Any) -> None:
        """Set columns of a collection."""
        with self.writing() as database:
            names = ", ".join(f"{name} = ?" for name in values)
            database.execute(f"UPDATE collections SET {names} WHERE id = ?", (*values.values(), id))

    def touch(self, id: str) -> None:
        """It was used, so it lives on; noted once a minute at the most."""
        now = int(time())
        with self.writing() as database:
            database.execute("UPDATE collections SET active = ? WHERE id = ? AND active < ?", (now, id, now - 60))

    def probe(self, id: str) -> bytes:
        """The vector that this collection's embedder gave a fixed text; empty if there is none yet."""
        with self.reading() as database:
            row = database.execute("SELECT probe FROM collections WHERE id = ?", (id,)).fetchone()
            return row[0] if row else b""

    def drop(self, id: str) -> None:
        """Take out a collection with all its documents."""
        with self.writing() as database:
            documents = "SELECT key FROM documents WHERE collection = ?"
            database.execute(f"DELETE FROM chunks WHERE document IN ({documents})", (id,))
            for table in ("documents", "attachments", "batches"):
                database.execute(f"DELETE FROM {table} WHERE collection = ?", (id,))
            if database.execute("DELETE FROM collections WHERE id = ?", (id,)).rowcount:
                lexical.drop(database, id)
        self.scrub()

    def scrub(self, id: str = "") -> None:
        """Write over what was deleted where it outlives its deletion: the collection's words, the write-ahead log."""
        with self._connected() as database:
            if id:
                lexical.purge(database, id)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as database:
            yield database

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing."""
        with self._connected() as database:
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield database

    def close(self) -> None:
        """Close what is not in use. The catalog can be used again."""
        while self._idle:
            self._idle.pop()[1].close()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            inode, database = self._taken() or self._opened()
            try:
                yield database
            except BaseException:
                database.close()
                raise
            if len(self._idle) < MOST_IDLE:
                self._idle.append((inode, database))
            else:
                database.close()
        except sqlite3.DatabaseError as error:
            raise CollectionError(f"{self.file}: {error}") from error

    def _taken(self) -> tuple[int, sqlite3.Connection] | None:
        """An idle connection to the file that is there now, for the data folder may have been replaced."""
        inode = self.file.stat().st_ino if self.file.exists() else 0
        while self._idle:
            found = self._idle.pop()
            if found[0] == inode:
                return found
            found[1].close()
        return None

    def _opened(self) -> tuple[int, sqlite3.Connection]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self.file, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version < VERSION:
                database.execute("PRAGMA journal_mode = WAL")
                _prepare(database)
            database.execute("PRAGMA secure_delete = ON")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(f"PRAGMA mmap_size = {MAPPED}")
        except BaseException:
            database.close()
            raise
        inode = self.file.stat().st_ino
        if inode != self._inode:
            # what is remembered is of the file that was there before
            self._inode, self.owners = inode, Owners()
            self.common_words.clear()
        return inode, database


def _prepare(database: sqlite3.Connection) -> None:
    """Make the tables, or bring an earlier version's up to date: once, whoever comes first."""
    database.execute("BEGIN IMMEDIATE")
    with database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        for statement in SCHEMA.split(";"):
            database.execute(statement)
        for (id,) in database.execute("SELECT id FROM collections").fetchall():
            if version == 1:
                _reindex(database, id)
            lexical.create_counts(database, id)
        database.execute(f"PRAGMA user_version = {VERSION}")


def _reindex(database: sqlite3.Connection, collection: str) -> None:
    lexical.drop(database, collection)
    lexical.create(database, collection)
    rows = database.execute(
        "SELECT c.key, iif(c.heading = '', c.text, c.heading || char(10) || c.text) "
        "FROM chunks c JOIN documents d ON d.key = c.document WHERE d.collection = ?",
        (collection,),
    )
    lexical.add(database, collection, rows)


def _collection(row: tuple[Any, ...]) -> Collection:
    id, owner, name, created, active, expires_days, metadata, tuning = row
    return Collection(id, owner, name, created, active, expires_days, json.loads(metadata), tuning)
