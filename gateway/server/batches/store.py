"""Stores batches and the results of their lines in an SQLite file. All methods block.

Workers share the file. A worker executes a batch while it holds the batch's lease.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from time import time
from typing import Any

from msgspec import Struct

from gateway.disk.wal import use_wal
from gateway.errors import NotReady, outage_cause

TABLES = """
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, endpoint TEXT NOT NULL, input_file TEXT NOT NULL, metadata TEXT NOT NULL,
    status TEXT NOT NULL, times TEXT NOT NULL, errors TEXT NOT NULL, output_file TEXT NOT NULL,
    error_file TEXT NOT NULL, total INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,
    lease REAL NOT NULL, worker TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS results (
    batch TEXT NOT NULL, line INTEGER NOT NULL, ok INTEGER NOT NULL, result BLOB NOT NULL, PRIMARY KEY (batch, line)
) STRICT
"""
ENDS = ("completed", "failed", "expired", "cancelled")
WINDOW_S = 24 * 3600
LEASE_S = 10.0
PATIENCE_S = 10.0
AT_ONCE = 1000
"""The number of results that are written in one transaction. Others wait for it."""


class BatchesUnavailable(NotReady):
    """The file of batches is locked by another process, read-only or damaged. `str(error)`, for the log, names it."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"The batches cannot be used{outage_cause(reason)}. Try again.", retry_after_s=2.0)
        self.args = (f"{file}: {reason}",)


class StoredBatch(Struct, frozen=True):
    """A batch. `times` maps a status to the time at which the batch got it, in seconds since 1970."""

    id: str
    owner: str
    endpoint: str
    input_file: str
    metadata: dict[str, str]
    status: str
    times: dict[str, int]
    errors: list[dict[str, Any]]
    output_file: str
    error_file: str
    total: int
    created: int
    expires: int
    completed: int = 0
    failed: int = 0

    @property
    def is_over(self) -> bool:
        return self.status in ENDS


class BatchStore:
    """The batches of all keys."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def create(self, owner: str, endpoint: str, input_file: str, metadata: dict[str, str], most: int) -> str:
        """Store a new batch and return its id, or "" if the key has `most` unfinished batches already."""
        id, now = f"batch_fw_{secrets.token_hex(12)}", int(time())
        with self._writing() as database:
            running = f"SELECT count(*) FROM batches WHERE owner = ? AND status NOT IN {ENDS}"
            if database.execute(running, (owner,)).fetchone()[0] >= most:
                return ""
            database.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?, 'validating', '{}', '[]', '', '', 0, ?, ?, 0, '')",
                (id, owner, endpoint, input_file, json.dumps(metadata), now, now + WINDOW_S),
            )
        return id

    def get(self, id: str) -> StoredBatch | None:
        return next(iter(self._select("id = ?", id)), None)

    def all(self, owner: str, *, everyone: bool = False) -> list[StoredBatch]:
        """Return the batches of a key, oldest first, or the batches of everyone."""
        return self._select("(? OR owner = ?) ORDER BY created, rowid", everyone, owner)

    def take(self, worker: str) -> StoredBatch | None:
        """Take the lease of an unfinished batch that no other worker executes, or return None.

        The key that has waited longest for its turn comes first, with its oldest batch.
        """
        now = time()
        with self._writing() as database:
            # the end of a key's last lease tells when it had its turn
            served = f"(SELECT max(lease) FROM batches o WHERE o.owner = b.owner AND o.status NOT IN {ENDS})"
            free = f"status NOT IN {ENDS} AND (lease < ? OR worker = ?)"
            query = f"SELECT id FROM batches b WHERE {free} ORDER BY {served}, created, rowid"
            row = database.execute(query, (now, worker)).fetchone()
            if row is None:
                return None
            database.execute("UPDATE batches SET lease = ?, worker = ? WHERE id = ?", (now + LEASE_S, worker, row[0]))
        return self.get(row[0])

    def renew(self, id: str, worker: str) -> str:
        """Renew the lease of a batch, and return the batch's status, or "" if another worker has the lease."""
        with self._writing() as database:
            database.execute("UPDATE batches SET lease = ? WHERE id = ? AND worker = ?", (time() + LEASE_S, id, worker))
            row = database.execute("SELECT status FROM batches WHERE id = ? AND worker = ?", (id, worker)).fetchone()
        return row[0] if row else ""

    def others_wait(self, owner: str) -> bool:
        """Return whether a batch of another key waits for a worker."""
        with self._reading() as database:
            waiting = f"SELECT 1 FROM batches WHERE status NOT IN {ENDS} AND lease < ? AND owner != ?"
            return database.execute(waiting, (time(), owner)).fetchone() is not None

    def end_turn(self, id: str, worker: str) -> None:
        """Give the lease of a batch back, and let the batches of other keys go first."""
        with self._writing() as database:
            database.execute(
                "UPDATE batches SET lease = ?, worker = '' WHERE id = ? AND worker = ?", (time() - 0.001, id, worker)
            )

    def postpone(self, id: str, wait_s: float) -> None:
        """Keep every worker from a batch for a time."""
        with self._writing() as database:
            database.execute("UPDATE batches SET lease = ?, worker = '' WHERE id = ?", (time() + wait_s, id))

    def release(self, worker: str) -> None:
        """Give all leases of a worker back, so that another worker can go on at once."""
        with self._writing() as database:
            database.execute("UPDATE batches SET lease = 0, worker = '' WHERE worker = ?", (worker,))

    def cancel(self, id: str) -> None:
        self.set_status(id, "cancelling", only_from=("validating", "in_progress"))

    def set_status(self, id: str, status: str, *, only_from: Sequence[str] = (), **values: Any) -> None:
        """Set the status and other columns. With `only_from`, nothing happens to a batch with another status.

        The results of a batch that ends are in its files, and their texts are removed here. Their number stays.
        """
        with self._writing() as database:
            row = database.execute("SELECT status, times FROM batches WHERE id = ?", (id,)).fetchone()
            if row is None or row[0] in ENDS or (only_from and row[0] not in only_from):
                return
            values |= {"status": status, "times": json.dumps({**json.loads(row[1]), status: int(time())})}
            columns = ", ".join(f"{name} = ?" for name in values)
            database.execute(f"UPDATE batches SET {columns} WHERE id = ?", (*values.values(), id))
            if status in ENDS:
                database.execute("UPDATE results SET result = x'' WHERE batch = ?", (id,))

    def add(self, id: str, line: int, ok: bool, result: bytes) -> None:
        with self._writing() as database:
            database.execute("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)", (id, line, ok, result))

    def add_failures(self, id: str, results: Iterable[tuple[int, bytes]]) -> None:
        """Store the results of many lines that failed."""
        rows = ((id, line, False, result) for line, result in results)
        while some := list(islice(rows, AT_ONCE)):  # made before the transaction, which others wait for
            with self._writing() as database:
                database.executemany("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)", some)

    def done(self, id: str) -> set[int]:
        """Return the numbers of the lines that have a result."""
        with self._reading() as database:
            return {line for (line,) in database.execute("SELECT line FROM results WHERE batch = ?", (id,))}

    def write(self, id: str, ok: bool, path: Path) -> int:
        """Write the results of a batch to a file, one a line, in order. Return how many there are."""
        count = 0
        with self._reading() as database, path.open("wb") as file:
            query = "SELECT result FROM results WHERE batch = ? AND ok = ? ORDER BY line"
            for (result,) in database.execute(query, (id, ok)):
                file.write(result + b"\n")
                count += 1
        return count

    def _select(self, condition: str, *values: Any) -> list[StoredBatch]:
        counts = "(SELECT count(*) FROM results r WHERE r.batch = b.id AND r.ok = {})"
        columns = "id, owner, endpoint, input_file, metadata, status, times, errors, output_file, error_file, total, "
        columns += f"created, expires, {counts.format(1)}, {counts.format(0)}"
        with self._reading() as database:
            rows = database.execute(f"SELECT {columns} FROM batches b WHERE {condition}", values).fetchall()
        return [_batch(*row) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, PATIENCE_S, isolation_level=None)) as database:
                use_wal(database)
                database.execute("PRAGMA secure_delete = ON")
                for statement in TABLES.split(";"):
                    database.execute(statement)
                yield database
        except sqlite3.DatabaseError as error:
            raise BatchesUnavailable(self._file, str(error)) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as database:
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield database


def _batch(
    id: str,
    owner: str,
    endpoint: str,
    input_file: str,
    metadata: str,
    status: str,
    times: str,
    errors: str,
    *rest: Any,
) -> StoredBatch:
    """Build a batch from a row of the table."""
    decoded = json.loads(metadata), status, json.loads(times), json.loads(errors)
    return StoredBatch(id, owner, endpoint, input_file, *decoded, *rest)
