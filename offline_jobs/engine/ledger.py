"""The ledger: jobs, their finished steps, and the replies and costs of model calls.

The ledger is one SQLite file in the data folder. A step or call is stored completely or not at all. A resumed job runs
its code again from the start, and skips the steps and calls that the ledger has.
"""

import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec
from msgspec import Struct

from gateway.disk.wal import use_wal
from offline_jobs.engine.budget import JobBudget, Spent
from offline_jobs.errors import JobFailed

TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, asked TEXT NOT NULL, budget TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', report TEXT NOT NULL DEFAULT '', created_s REAL NOT NULL,
    ended_s REAL NOT NULL DEFAULT 0, worked_s REAL NOT NULL DEFAULT 0, cancel INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS steps (
    job TEXT NOT NULL REFERENCES jobs(id), key TEXT NOT NULL, name TEXT NOT NULL, result BLOB NOT NULL,
    took_s REAL NOT NULL, PRIMARY KEY (job, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
    job TEXT NOT NULL REFERENCES jobs(id), key TEXT NOT NULL, reply BLOB NOT NULL, tokens INTEGER NOT NULL,
    money REAL NOT NULL, PRIMARY KEY (job, key)
) WITHOUT ROWID;
"""
RUNNING, DONE, FAILED, CANCELLED, SPENT = "running", "done", "failed", "cancelled", "out of budget"
FAILED_CALL = "-failed-"
"""The part of a call's key that marks the call as failed. A failed call counts against the budget, and a resumed job
makes the call again."""


class LedgerJob(Struct, frozen=True):
    """One job. `worked_s` is the total time of all its runs, in seconds. `report` is JSON, or "" until the job
    is done."""

    id: str
    kind: str
    words: Mapping[str, Any]
    budget: JobBudget
    state: str
    reason: str
    report: str
    created_s: float
    ended_s: float
    worked_s: float


class LedgerStep(Struct, frozen=True):
    """A finished step. `size` is the size of the result in bytes."""

    name: str
    took_s: float
    size: int


class LedgerCall(Struct, frozen=True):
    """A finished model call, with its reply and cost."""

    reply: bytes
    tokens: int
    money: float


class Ledger:
    """The ledger in a folder. Threads may share the object; every process must open its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = threading.Lock()
        self._open = sqlite3.connect(folder / "ledger.db", timeout=30, isolation_level=None, check_same_thread=False)
        # a killed process loses nothing; after a power failure, the last steps may have to be repeated
        use_wal(self._open)
        self._open.executescript("PRAGMA synchronous = NORMAL;" + TABLES)

    def close(self) -> None:
        self._open.close()

    def create(self, kind: str, words: Mapping[str, Any], budget: JobBudget) -> LedgerJob:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        id = f"{kind}-{stamp}-{token_hex(2)}"
        self._do(
            "INSERT INTO jobs (id, kind, asked, budget, state, created_s) VALUES (?, ?, ?, ?, ?, ?)",
            (id, kind, json.dumps(words), msgspec.json.encode(budget).decode(), RUNNING, time.time()),
        )
        return self.job(id)

    def job(self, id: str) -> LedgerJob:
        """Find a job by its id or the first characters of its id. Raises `JobFailed` if no job or several jobs
        match."""
        jobs = self._jobs("WHERE id LIKE ? || '%' ORDER BY id = ? DESC, created_s DESC", (id, id))
        if not jobs or (len(jobs) > 1 and jobs[0].id != id):
            raise JobFailed(f"there {'are several jobs' if jobs else 'is no job'} {id!r}; see: foreword jobs list")
        return jobs[0]

    def known(self, id: str) -> LedgerJob | None:
        """Return the job with exactly this id, or None."""
        return next(iter(self._jobs("WHERE id = ?", (id,))), None)

    def forget_steps(self, job: str) -> None:
        """Forget the finished steps of a job. When it is resumed, it begins again; its calls are still known."""
        self._do("DELETE FROM steps WHERE job = ?", (job,))

    def jobs(self, limit: int = 20) -> list[LedgerJob]:
        """Return the last `limit` jobs, newest first."""
        return self._jobs("ORDER BY created_s DESC, id DESC LIMIT ?", (limit,))

    def under_way(self) -> list[LedgerJob]:
        """Return the jobs that a process is running now, newest first."""
        unfinished = self._jobs("WHERE state = ? ORDER BY created_s DESC, id DESC", (RUNNING,))
        return [job for job in unfinished if self.running(job.id)]

    def last(self, kind: str, words: Mapping[str, Any]) -> LedgerJob | None:
        """Return the newest job of this kind with exactly these words, or None. If `words` is empty, any job of this
        kind matches."""
        jobs = self._jobs("WHERE kind = ? ORDER BY created_s DESC, id DESC", (kind,))
        return next((job for job in jobs if not words or job.words == words), None)

    def allow(self, id: str, budget: JobBudget) -> LedgerJob:
        """Replace a job's budget. Earlier spending counts against the new budget."""
        self._do("UPDATE jobs SET budget = ? WHERE id = ?", (msgspec.json.encode(budget).decode(), id))
        return self.job(id)

    def begin(self, id: str) -> None:
        self._do("UPDATE jobs SET state = ?, reason = '', cancel = 0 WHERE id = ?", (RUNNING, id))

    def end(self, id: str, state: str, reason: str = "", report: bytes = b"") -> None:
        self._do(
            "UPDATE jobs SET state = ?, reason = ?, report = ?, ended_s = ? WHERE id = ?",
            (state, reason, report.decode(), time.time(), id),
        )

    def cancel(self, id: str) -> None:
        """Ask a job to stop. The job stops before its next step or call."""
        self._do("UPDATE jobs SET cancel = 1 WHERE id = ?", (id,))

    def cancelled(self, id: str) -> bool:
        return bool(self._do("SELECT cancel FROM jobs WHERE id = ?", (id,))[0][0])

    def worked(self, id: str, seconds: float) -> None:
        self._do("UPDATE jobs SET worked_s = worked_s + ? WHERE id = ?", (seconds, id))

    def result(self, job: str, key: str) -> bytes | None:
        """Return the stored result of a step, or None."""
        rows = self._do("SELECT result FROM steps WHERE job = ? AND key = ?", (job, key))
        return rows[0][0] if rows else None

    def results(self, job: str) -> list[bytes]:
        """Return the stored results of all steps of a job."""
        return [row[0] for row in self._do("SELECT result FROM steps WHERE job = ?", (job,))]

    def done(self, job: str, key: str, name: str, result: bytes, took_s: float) -> None:
        self._do("INSERT OR IGNORE INTO steps VALUES (?, ?, ?, ?, ?)", (job, key, name, result, took_s))

    def steps(self, job: str) -> list[LedgerStep]:
        rows = self._do("SELECT name, took_s, length(result) FROM steps WHERE job = ? ORDER BY name, key", (job,))
        return [LedgerStep(*row) for row in rows]

    def call(self, job: str, key: str) -> LedgerCall | None:
        """Return the stored call with this key, or None."""
        rows = self._do("SELECT reply, tokens, money FROM calls WHERE job = ? AND key = ?", (job, key))
        return LedgerCall(*rows[0]) if rows else None

    def book(self, job: str, key: str, reply: bytes, tokens: int, money: float) -> None:
        self._do("INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?, ?)", (job, key, reply, tokens, money))

    def failed_calls(self, job: str) -> int:
        rows = self._do("SELECT count(*) FROM calls WHERE job = ? AND key LIKE '%' || ? || '%'", (job, FAILED_CALL))
        return int(rows[0][0])

    def spent(self, job: str) -> Spent:
        """Return what the job has spent. The time of the current run is included as far as it has been stored."""
        calls = self._do("SELECT count(*), total(tokens), total(money) FROM calls WHERE job = ?", (job,))[0]
        worked = self._do("SELECT worked_s FROM jobs WHERE id = ?", (job,))[0][0]
        return Spent(calls[0], int(calls[1]), calls[2], worked)

    @contextmanager
    def locked(self, id: str) -> Iterator[None]:
        """Lock a job for this process. Raises `JobFailed` if another process runs the job.

        If the process dies, the operating system releases the lock.
        """
        folder = self.folder / id
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise JobFailed(f"{id} is running already") from None
            yield
        finally:
            os.close(file)

    def running(self, id: str) -> bool:
        """Return whether a process is running the job. The state alone cannot tell, because a killed job stays
        `running`."""
        try:
            with self.locked(id):
                return False
        except JobFailed:
            return True

    def _jobs(self, where: str, values: tuple[Any, ...]) -> list[LedgerJob]:
        # older versions named this column `asked`; their ledgers must stay readable
        columns = ", ".join("asked" if name == "words" else name for name in LedgerJob.__struct_fields__)
        rows = self._do(f"SELECT {columns} FROM jobs {where}", values)
        return [_job(row) for row in rows]

    def _do(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._open.execute(statement, values).fetchall()


def _job(row: tuple[Any, ...]) -> LedgerJob:
    fields = dict(zip(LedgerJob.__struct_fields__, row, strict=True))
    words, budget = json.loads(fields["words"]), msgspec.json.decode(fields["budget"], type=JobBudget)
    return LedgerJob(**{**fields, "words": words, "budget": budget})


def key_of(*parts: Any) -> str:
    """Return a hash of the inputs of a step or call. Equal inputs have equal keys."""
    return sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
