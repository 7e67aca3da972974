"""The uploaded files of each collection, and the state of their ingestion."""

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from time import time
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.context.reading.chunk import Cut
from gateway.context.store.catalog import Catalog
from gateway.context.store.stored_documents import Attributes

IN_PROGRESS, COMPLETED, CANCELLED, FAILED = "in_progress", "completed", "cancelled", "failed"
STATES = (IN_PROGRESS, COMPLETED, CANCELLED, FAILED)


class Attachment(Struct, frozen=True):
    """A file in a collection.

    If the ingest failed, `error` is the message and `error_code` the kind of failure. If the ingest succeeded, `error`
    is the reader's report as JSON, or "" if there is nothing to report.
    """

    collection: str
    file: str
    batch: str = ""
    status: str = IN_PROGRESS
    error_code: str = ""
    error: str = ""
    attributes: Attributes = {}
    cut: Cut | None = None
    """The chunking that the client set, or None for the configured chunking."""
    bytes: int = 0
    created: int = 0


class FileBatch(Struct, frozen=True):
    """The files that one request attached."""

    id: str
    collection: str
    created: int
    cancelled: bool = False


COLUMNS = "collection, file, batch, status, error_code, error, attributes, chunking, bytes, created"


class Attachments:
    """The table of attachments in the catalog. All methods block."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def attach(self, attachments: Sequence[Attachment]) -> None:
        """Attach all files or none. A file that is already attached is ingested again."""
        with self.catalog.writing() as database:
            _insert(database, attachments)

    def create_store(
        self,
        owner: str,
        name: str,
        expires_days: int,
        metadata: Mapping[str, str] | None,
        attachments: Sequence[Attachment],
    ) -> str:
        """Create a collection with these files. If a file cannot be attached, nothing is created. Returns the
        collection's id.
        """
        with self.catalog.writing() as database:
            id = self.catalog.create_in(database, owner, name, expires_days, metadata)
            _insert(database, [replace(attachment, collection=id) for attachment in attachments])
        return id

    def attach_batch(self, collection: str, attachments: Sequence[Attachment]) -> FileBatch:
        """Attach all files as one batch, or none."""
        batch = FileBatch(f"vsfb_{secrets.token_hex(12)}", collection, int(time()))
        with self.catalog.writing() as database:
            database.execute("INSERT INTO batches VALUES (?, ?, ?, 0)", (batch.id, collection, batch.created))
            _insert(database, [replace(attachment, batch=batch.id) for attachment in attachments])
        return batch

    def get(self, collection: str, file: str) -> Attachment | None:
        return next(iter(self._rows("collection = ? AND file = ?", collection, file)), None)

    def of(self, collection: str, *, batch: str = "", status: str = "") -> list[Attachment]:
        """Return the attachments of a collection in the order in which they were attached."""
        condition = "collection = ? AND (? = '' OR batch = ?) AND (? = '' OR status = ?) ORDER BY created, rowid"
        return self._rows(condition, collection, batch, batch, status, status)

    def next_waiting(self, served: str = "", busy: Sequence[Attachment] = ()) -> Attachment | None:
        """Return the oldest waiting file of the client key that comes after `served`, or None. Client keys take turns
        in this way. Files in `busy` are skipped.
        """
        owner = "coalesce((SELECT owner FROM collections WHERE id = attachments.collection), '')"
        order = f"{owner} <= ?, {owner}, created, rowid"
        free = "".join(" AND NOT (collection = ? AND file = ?)" for _ in busy)
        names = [name for attachment in busy for name in (attachment.collection, attachment.file)]
        return next(iter(self._rows(f"status = 'in_progress'{free} ORDER BY {order} LIMIT 1", *names, served)), None)

    def abandoned(self) -> list[tuple[str, int]]:
        """Return the collection and the document's key for each unfinished document whose file no longer waits."""
        waiting = "SELECT 1 FROM attachments a WHERE a.collection = d.collection AND a.file = d.file AND a.status = ?"
        query = (
            f"SELECT collection, key FROM documents d WHERE state != 'live' AND file != '' AND NOT EXISTS ({waiting})"
        )
        with self.catalog.reading() as database:
            return database.execute(query, (IN_PROGRESS,)).fetchall()

    def having(self, file: str) -> list[Attachment]:
        return self._rows("file = ?", file)

    def settle(self, attachment: Attachment, status: str, error_code: str = "", error: str = "") -> None:
        """Record the outcome of an attachment that is in progress."""
        with self.catalog.writing() as database:
            database.execute(
                "UPDATE attachments SET status = ?, error_code = ?, error = ? "
                "WHERE collection = ? AND file = ? AND status = ?",
                (status, error_code, error, attachment.collection, attachment.file, IN_PROGRESS),
            )

    def set_attributes(self, collection: str, file: str, attributes: Attributes) -> None:
        with self.catalog.writing() as database:
            database.execute(
                "UPDATE attachments SET attributes = ? WHERE collection = ? AND file = ?",
                (json.dumps(attributes, ensure_ascii=False), collection, file),
            )

    def detach(self, collection: str, file: str) -> None:
        with self.catalog.writing() as database:
            database.execute("DELETE FROM attachments WHERE collection = ? AND file = ?", (collection, file))

    def counts(self, collection: str, batch: str = "") -> dict[str, int]:
        """Return the number of files in each state."""
        with self.catalog.reading() as database:
            rows = database.execute(
                "SELECT status, count(*) FROM attachments "
                "WHERE collection = ? AND (? = '' OR batch = ?) GROUP BY status",
                (collection, batch, batch),
            )
            return dict.fromkeys(STATES, 0) | dict(rows.fetchall())

    def size(self, collection: str) -> int:
        """Return the total size of all ingested files in bytes."""
        with self.catalog.reading() as database:
            query = "SELECT coalesce(sum(bytes), 0) FROM attachments WHERE collection = ? AND status = ?"
            size: int = database.execute(query, (collection, COMPLETED)).fetchone()[0]
            return size

    def batch(self, collection: str, id: str) -> FileBatch | None:
        with self.catalog.reading() as database:
            query = "SELECT id, collection, created, cancelled FROM batches WHERE id = ? AND collection = ?"
            row = database.execute(query, (id, collection)).fetchone()
            return FileBatch(row[0], row[1], row[2], bool(row[3])) if row else None

    def cancel(self, batch: FileBatch) -> None:
        """Cancel a batch. Files that are not ingested yet stay out of the collection."""
        with self.catalog.writing() as database:
            database.execute("UPDATE batches SET cancelled = 1 WHERE id = ?", (batch.id,))
            database.execute(
                "UPDATE attachments SET status = ? WHERE collection = ? AND batch = ? AND status = ?",
                (CANCELLED, batch.collection, batch.id, IN_PROGRESS),
            )

    def _rows(self, condition: str, *values: Any) -> list[Attachment]:
        with self.catalog.reading() as database:
            rows = database.execute(f"SELECT {COLUMNS} FROM attachments WHERE {condition}", values)
            return [_attachment(row) for row in rows]


def _insert(database: sqlite3.Connection, attachments: Sequence[Attachment]) -> None:
    now = int(time())
    rows = [
        (
            *(attachment.collection, attachment.file, attachment.batch, IN_PROGRESS, "", ""),
            json.dumps(attachment.attributes, ensure_ascii=False),
            json.dumps([attachment.cut.limit, attachment.cut.overlap]) if attachment.cut else "",
            attachment.bytes,
            now,
        )
        for attachment in attachments
    ]
    marks = ", ".join("?" * 10)
    database.executemany(f"INSERT OR REPLACE INTO attachments ({COLUMNS}) VALUES ({marks})", rows)


def _attachment(row: tuple[Any, ...]) -> Attachment:
    collection, file, batch, status, error_code, error, attributes, chunking, size, created = row
    limit, overlap = json.loads(chunking) if chunking else (0, 0)
    cut = Cut(limit, overlap, strict=True) if limit else None
    values = json.loads(attributes)
    return Attachment(collection, file, batch, status, error_code, error, values, cut, size, created)
