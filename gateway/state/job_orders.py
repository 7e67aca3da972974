"""Orders for offline jobs, in the ledger's database. The gateway's API writes orders, and `foreword jobs work` carries
them out. Schedules become orders too, so that two workers never run one twice.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from msgspec import Struct

TABLE = """
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, words TEXT NOT NULL, author TEXT NOT NULL, time_s REAL NOT NULL,
    state TEXT NOT NULL, taken_s REAL NOT NULL DEFAULT 0, job TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID
"""
WAITING, TAKEN, DONE, FAILED, REFUSED = "waiting", "taken", "done", "failed", "refused"
SHOWN = 100


class JobOrder(Struct, frozen=True):
    """An order to run a job. `author` is the name of the key that gave it, or `schedule`.

    `state` is `waiting`, `taken` by a worker, `done`, `failed`, or `refused` because the order is wrong.
    """

    id: str
    kind: str
    words: dict[str, Any]
    author: str
    time_s: float
    state: str = WAITING
    taken_s: float = 0.0
    job: str = ""
    reason: str = ""


class JobOrders:
    """The orders in a data folder. Each call opens the database, since calls are rare."""

    def __init__(self, data_folder: Path) -> None:
        self._file = data_folder / "jobs" / "ledger.db"

    def add(self, kind: str, words: Mapping[str, Any], author: str, id: str = "") -> JobOrder | None:
        """Write an order. Returns None if an order with this id exists already."""
        order = JobOrder(id or f"order-{token_hex(6)}", kind, dict(words), author, time.time())
        values = (order.id, kind, json.dumps(order.words), author, order.time_s, WAITING)
        with self._opened() as database:
            cursor = database.execute(
                "INSERT OR IGNORE INTO orders (id, kind, words, author, time_s, state) VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )
            return order if cursor.rowcount == 1 else None

    def take(self, id: str) -> bool:
        """Take a waiting order. Of several workers, only one gets True."""
        statement = "UPDATE orders SET state = ?, taken_s = ? WHERE id = ? AND state = ?"
        with self._opened() as database:
            return database.execute(statement, (TAKEN, time.time(), id, WAITING)).rowcount == 1

    def retake(self, order: JobOrder) -> bool:
        """Take an order whose worker has died. Of several workers, only one gets True."""
        statement = "UPDATE orders SET taken_s = ? WHERE id = ? AND state = ? AND taken_s = ?"
        with self._opened() as database:
            return database.execute(statement, (time.time(), order.id, TAKEN, order.taken_s)).rowcount == 1

    def link(self, id: str, job: str) -> None:
        """Say which job carries out an order."""
        with self._opened() as database:
            database.execute("UPDATE orders SET job = ? WHERE id = ?", (job, id))

    def end(self, id: str, state: str, reason: str = "") -> None:
        with self._opened() as database:
            database.execute("UPDATE orders SET state = ?, reason = ? WHERE id = ?", (state, reason, id))

    def in_state(self, state: str) -> list[JobOrder]:
        """Return the orders in a state, the oldest first."""
        return self._read("WHERE state = ? ORDER BY time_s, id", (state,))

    def newest(self, limit: int = SHOWN) -> list[JobOrder]:
        return self._read("ORDER BY time_s DESC, id LIMIT ?", (limit,))

    def _read(self, where: str, values: tuple[Any, ...]) -> list[JobOrder]:
        columns = ", ".join(JobOrder.__struct_fields__)
        with self._opened() as database:
            rows = database.execute(f"SELECT {columns} FROM orders {where}", values).fetchall()
        return [JobOrder(row[0], row[1], json.loads(row[2]), *row[3:]) for row in rows]

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._file, timeout=30, isolation_level=None)
        try:
            database.execute(TABLE)
            yield database
        finally:
            database.close()
