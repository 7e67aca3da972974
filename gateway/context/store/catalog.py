"""The catalog of collections. One SQLite file in the data folder holds the names and owners of collections, and their
documents, chunks and words.

The catalog decides which documents exist. A vector store knows vectors only by number, and a search drops each number
that belongs to no live document in the catalog. Therefore one transaction can add, change or remove a document,
whatever the state of the vectors. Deleted text is overwritten on the disk.
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
from gateway.context.store.chunk_owners import Owners, marks
from gateway.context.store.schema import VERSION, prepare
from gateway.disk.wal import use_wal
from gateway.errors import CatalogUnavailable, CollectionError

PATIENCE_S = 1.5
"""How long an operation waits for the lock of another process, in seconds. Commands may wait longer than a server."""
MOST_IDLE = 8
"""The number of idle connections that stay open. Opening a connection takes longer than most searches."""
MAPPED = 1 << 30
"""The number of bytes of the file that are mapped into memory. A search reads hundreds of pages. Without the mapping,
copying these pages would take longer than the search itself.
"""
DAY_S = 86_400
TOUCH_S = 60
"""The time of a collection's last use is written at most once in this number of seconds."""
UNAVAILABLE = frozenset(
    (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOTADB,
    )
)
"""SQLite errors that concern the file and not a statement."""


class Collection(Struct, frozen=True):
    """A collection, which OpenAI's API calls a vector store. `owner` is the key that created the collection. The owner
    "" is the operator, whose collections all keys share.
    """

    id: str
    owner: str
    name: str
    created: int
    active: int
    expires_days: int = 0
    metadata: Mapping[str, str] = {}
    tuning: str = ""
    """The settings that were learned for searches in this collection, as JSON. "" if nothing was learned yet."""
    chunks: int = 0
    """The number of chunks of the live documents in the collection."""

    @property
    def expires(self) -> int:
        """The time at which the collection expires if it is not used until then, in seconds since 1970. 0 for never."""
        return self.active + self.expires_days * DAY_S if self.expires_days else 0

    @property
    def has_expired(self) -> bool:
        return 0 < self.expires <= int(time())


COLUMNS = "id, owner, name, created, active, expires_days, metadata, tuning, chunks"
CURRENT = f"(expires_days = 0 OR active + expires_days * {DAY_S} > unixepoch())"


def catalog_file(data_folder: Path) -> Path:
    return data_folder / "catalog.sqlite3"


class Catalog:
    """The catalog of collections. Several threads and processes may share the file. Each operation has its own
    connection.

    Operations raise `CatalogUnavailable` if the file is read-only, damaged, or locked for longer than `patience_s`.
    """

    def __init__(self, file: Path, patience_s: float = PATIENCE_S) -> None:
        self.file = file
        self.patience_s = patience_s
        self.common_words: lexical.Remembered = {}
        self.owners = Owners()
        self._inode = 0
        self._idle: list[tuple[int, sqlite3.Connection]] = []

    def open(self) -> None:
        """Read which document each chunk belongs to. Every search needs this."""
        with self.reading() as database:
            self.owners.read(database)

    def create(self, owner: str, name: str, expires_days: int = 0, metadata: Mapping[str, str] | None = None) -> str:
        """Create an empty collection, and return its id."""
        with self.writing() as database:
            return self.create_in(database, owner, name, expires_days, metadata)

    def create_in(
        self,
        database: sqlite3.Connection,
        owner: str,
        name: str,
        expires_days: int = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Create an empty collection in the caller's transaction, and return its id."""
        id, now = f"vs_{secrets.token_hex(12)}", int(time())
        database.execute(
            "INSERT INTO collections (id, owner, name, created, active, expires_days, metadata) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (id, owner, name, now, now, expires_days, json.dumps(metadata or {}, ensure_ascii=False)),
        )
        return id

    def collections(self, *, expired: bool = False) -> list[Collection]:
        """Return all collections that have not expired, the oldest first. With `expired`, expired collections are
        included.
        """
        return self._collections(f"({CURRENT} OR {int(expired)}) ORDER BY created, rowid")

    def of_owners(self, *owners: str, expired: bool = False) -> list[Collection]:
        """Return the collections of these owners, the oldest first. With `expired`, expired collections are
        included.
        """
        condition = f"owner IN ({marks(owners)}) AND ({CURRENT} OR {int(expired)})"
        return self._collections(f"{condition} ORDER BY created, rowid", *owners)

    def latest(self, name: str, owner: str | None = None) -> Collection | None:
        """Return the newest collection with this name that has not expired. If `owner` is None, a collection of any
        owner is returned. The result is None if there is no such collection.
        """
        newest = f"{CURRENT} ORDER BY created DESC, rowid DESC LIMIT 1"
        if owner is None:
            rows = self._collections(f"name = ? AND {newest}", name)
        else:
            rows = self._collections(f"owner = ? AND name = ? AND {newest}", owner, name)
        return next(iter(rows), None)

    def expired(self) -> list[Collection]:
        return self._collections(f"expires_days > 0 AND NOT {CURRENT}")

    def collection(self, id: str) -> Collection | None:
        """Return the collection with this id, even if it has expired. The result is None if it does not exist."""
        return next(iter(self._collections("id = ?", id)), None)

    def change(self, id: str, **values: Any) -> None:
        """Set columns of a collection."""
        with self.writing() as database:
            names = ", ".join(f"{name} = ?" for name in values)
            database.execute(f"UPDATE collections SET {names} WHERE id = ?", (*values.values(), id))

    def touch(self, collection: Collection) -> None:
        """Record that the collection is used, which postpones its expiry. This does nothing while another process
        writes.
        """
        now = int(time())
        if collection.active >= now - TOUCH_S:
            return
        try:
            with self.writing(patience_s=0.0) as database:
                database.execute("UPDATE collections SET active = ? WHERE id = ?", (now, collection.id))
        except CatalogUnavailable:
            # a search does not need this write, so it must not fail because of it
            return

    def probe(self, id: str) -> bytes:
        """Return the vector that the collection's embedder computed for a fixed text. The result is empty if there is
        none yet.
        """
        with self.reading() as database:
            row = database.execute("SELECT probe FROM collections WHERE id = ?", (id,)).fetchone()
            return row[0] if row else b""

    def drop(self, id: str) -> None:
        """Delete a collection with all its documents."""
        with self.writing() as database:
            _empty(database, id)
            database.execute("DELETE FROM collections WHERE id = ?", (id,))
        self.scrub()

    def empty(self, id: str) -> bool:
        """Delete the documents, attachments and batches of a collection. Returns whether there were any."""
        with self.writing() as database:
            tables = ("documents", "attachments", "batches")
            if not any(
                database.execute(f"SELECT 1 FROM {name} WHERE collection = ?", (id,)).fetchone() for name in tables
            ):
                return False
            _empty(database, id)
            database.execute("UPDATE collections SET chunks = 0, tuning = '', probe = x'' WHERE id = ?", (id,))
        self.scrub()
        return True

    def scrub(self, id: str = "") -> None:
        """Overwrite deleted text. SQLite would otherwise keep this text in the collection's word index and in the
        write-ahead log.
        """
        with self._connected() as database:
            if id:
                lexical.purge(database, id)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as database:
            yield database

    @contextmanager
    def writing(self, patience_s: float | None = None) -> Iterator[sqlite3.Connection]:
        """Open a transaction, which is done completely or not at all. `patience_s` is how long to wait for another
        writer. None stands for the catalog's own `patience_s`.
        """
        with self._connected() as database:
            patience_s = self.patience_s if patience_s is None else patience_s
            database.execute(f"PRAGMA busy_timeout = {int(patience_s * 1000)}")
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield database

    def close(self) -> None:
        """Close the idle connections. The catalog can still be used afterwards."""
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
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in UNAVAILABLE:
                raise CatalogUnavailable(str(self.file), str(error)) from error
            raise CollectionError(f"{self.file}: {error}") from error

    def _collections(self, condition: str, *values: str) -> list[Collection]:
        with self.reading() as database:
            rows = database.execute(f"SELECT {COLUMNS} FROM collections WHERE {condition}", values)
            return [_collection(row) for row in rows]

    def _taken(self) -> tuple[int, sqlite3.Connection] | None:
        """Return an idle connection to the current file, or None. Connections to an older file are closed, since the
        data folder may have been replaced.
        """
        inode = self.file.stat().st_ino if self.file.exists() else 0
        while self._idle:
            idle = self._idle.pop()
            if idle[0] == inode:
                return idle
            idle[1].close()
        return None

    def _opened(self) -> tuple[int, sqlite3.Connection]:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogUnavailable(str(self.file), error.strerror or str(error)) from error
        database = sqlite3.connect(self.file, timeout=self.patience_s, isolation_level=None, check_same_thread=False)
        try:
            if database.execute("PRAGMA user_version").fetchone()[0] < VERSION:
                use_wal(database)
                prepare(database)
            database.execute("PRAGMA secure_delete = ON")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(f"PRAGMA mmap_size = {MAPPED}")
        except BaseException:
            database.close()
            raise
        inode = self.file.stat().st_ino
        if inode != self._inode:
            # the caches are those of the earlier file
            self._inode, self.owners = inode, Owners()
            self.common_words.clear()
        return inode, database


def _empty(database: sqlite3.Connection, id: str) -> None:
    documents = "SELECT key FROM documents WHERE collection = ?"
    database.execute(f"DELETE FROM chunks WHERE document IN ({documents})", (id,))
    for table in ("documents", "attachments", "batches"):
        database.execute(f"DELETE FROM {table} WHERE collection = ?", (id,))
    lexical.drop(database, id)


def _collection(row: tuple[Any, ...]) -> Collection:
    id, owner, name, created, active, expires_days, metadata, tuning, chunks = row
    return Collection(id, owner, name, created, active, expires_days, json.loads(metadata), tuning, chunks)
