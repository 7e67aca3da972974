"""Which uploaded files belong to which collection, and how far each is on its way in."""

import json
import secrets
from collections.abc import Sequence
from time import time
from typing import Any

from msgspec import Struct

from gateway.context.reading.chunk import Cut
from gateway.context.store.catalog import Catalog
from gateway.context.store.stored_documents import Attributes

IN_PROGRESS, COMPLETED, CANCELLED, FAILED = "in_progress", "completed", "cancelled", "failed"
STATES = (IN_PROGRESS, COMPLETED, CANCELLED, FAILED)


class Attachment(Struct, frozen=True):
    """A file in a collection. `error_code` says what kind of failure `error` tells."""

    collection: str
    file: str
    batch: str = ""
    status: str = IN_PROGRESS
    error_code: str = ""
    error: str = ""
    attributes: Attributes = {}
    cut: Cut | None = None
    """As the client asked; None: as the gateway is configured."""
    bytes: int = 0
    created: int = 0


class FileBatch(Struct, frozen=True):
    """Files that were attached together."""

    id: str
    collection: str
    created: int
    cancelled: bool = False


COLUMNS = "collection, file, batch, status, error_code, error, attributes, chunking, bytes, created"


class Attachments:
    """Blocking."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def attach(self, attachments: Sequence[Attachment]) -> None:
        """All of them or none. A file that is attached already is taken in again."""
        now = int(time())
        rows = [
            (
                *(one.collection, one.file, one.batch, IN_PROGRESS, "", ""),
                json.dumps(one.attributes, ensure_ascii=False),
                json.dumps([one.cut.limit, one.cut.overlap]) if one.cut else "",
                one.bytes,
                now,
            )
            for one in attachments
        ]
        with self.catalog.writing() as database:
            marks = ", ".join("?" * 10)
            database.executemany(f"INSERT OR REPLACE INTO attachments ({COLUMNS}) VALUES ({marks})", rows)

    def get(self, collection: str, file: str) -> Attachment | None:
        return next(iter(self._rows("collection = ? AND file = ?", collection, file)), None)

    def of(self, collection: str, *, batch: str = "", status: str = "") -> list[Attachment]:
        """In the order in which they were attached."""
        condition = "collection = ? AND (? = '' OR batch = ?) AND (? = '' OR status = ?) ORDER BY created, rowid"
        return self._rows(condition, collection, batch, batch, status, status)

    def waiting(self) -> list[Attachment]:
        return self._rows("status = ? ORDER BY created, rowid", IN_PROGRESS)

    def having(self, file: str) -> list[Attachment]:
        return self._rows("file = ?", file)

    def settle(self, one: Attachment, status: str, error_code: str = "", error: str = "") -> None:
        """Say what became of one that was in progress."""
        with self.catalog.writing() as database:
            database.execute(
                "UPDATE attachments SET status = ?, error_code = ?, error = ? "
                "WHERE collection = ? AND file = ? AND status = ?",
                (status, error_code, error, one.collection, one.file, IN_PROGRESS),
            )

    def set_attributes(self, collection: str, file: str, attributes: Attributes) -> None:
        with self.catalog.writing() as database:
            told = json.dumps(attributes, ensure_ascii=False)
            database.execute(
                "UPDATE attachments SET attributes = ? WHERE collection = ? AND file = ?", (told, collection, file)
            )

    def detach(self, collection: str, file: str) -> None:
        with self.catalog.writing() as database:
            database.execute("DELETE FROM attachments WHERE collection = ? AND file = ?", (collection, file))

    def counts(self, collection: str, batch: str = "") -> dict[str, int]:
        """How many are in each state."""
        with self.catalog.reading() as database:
            rows = database.execute(
                "SELECT status, count(*) FROM attachments "
                "WHERE collection = ? AND (? = '' OR batch = ?) GROUP BY status",
                (collection, batch, batch),
            )
            return dict.fromkeys(STATES, 0) | dict(rows.fetchall())

    def size(self, collection: str) -> int:
        """Bytes of the files that are in."""
        with self.catalog.reading() as database:
            query = "SELECT coalesce(sum(bytes), 0) FROM attachments WHERE collection = ? AND status = ?"
            size: int = database.execute(query, (collection, COMPLETED)).fetchone()[0]
            return size

    def begin_batch(self, collection: str) -> FileBatch:
        batch = FileBatch(f"vsfb_{secrets.token_hex(12)}", collection, int(time()))
        with self.catalog.writing() as database:
            database.execute("INSERT INTO batches VALUES (?, ?, ?, 0)", (batch.id, collection, batch.created))
        return batch

    def batch(self, collection: str, id: str) -> FileBatch | None:
        with self.catalog.reading() as database:
            query = "SELECT id, collection, created, cancelled FROM batches WHERE id = ? AND collection = ?"
            row = database.execute(query, (id, collection)).fetchone()
            return FileBatch(row[0], row[1], row[2], bool(row[3])) if row else None

    def cancel(self, batch: FileBatch) -> None:
        """What of it is not in yet stays out."""
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


def _attachment(row: tuple[Any, ...]) -> Attachment:
    collection, file, batch, status, error_code, error, attributes, chunking, size, created = row
    limit, overlap = json.loads(chunking) if chunking else (0, 0)
    cut = Cut(limit, overlap, strict=True) if limit else None
    told = json.loads(attributes)
    return Attachment(collection, file, batch, status, error_code, error, told, cut, size, created)
