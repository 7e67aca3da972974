"""Moves records from the spool to the database in batches. It uses a thread, so the event loop is not blocked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import ConfigError, DatabaseFailed, NotReady, outage_cause
from gateway.records.retention import Retention, most_at_once, uptime_s
from gateway.records.schema import ReadAnswer
from gateway.records.segment_reader import SegmentReader
from gateway.records.spool import Spool

if TYPE_CHECKING:  # SQLAlchemy is imported when the database is opened, not at start
    from gateway.records.database import Database

log = logging.getLogger("foreword.drain")

OPENING_S = 15.0
"""How long a query waits, in seconds, while the drain opens the database for the first time."""
MAX_PAUSE_S = 60.0
PURGE_EVERY_S = 3600.0
DAY_S = 86400.0
T = TypeVar("T")


class Drain:
    """A background task that moves records from the spool to the database.

    The task drains the segments of its own process and of dead processes, but not those of other live workers. While
    the database is down, the spool grows, and the task retries at intervals that grow to one minute. Queries have their
    own thread and connection, so they do not wait for a drain.
    """

    def __init__(
        self,
        spool: Spool,
        open_database: Callable[[], Database],
        read_answer: ReadAnswer,
        interval_s: float = 1.0,
        *,
        retention_days: float = 0,
        open_for_reading: Callable[[], Database] | None = None,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = uptime_s,
    ) -> None:
        """`open_for_reading` opens the database for `ask`, with a shorter wait for locks. The default is
        `open_database`.
        """
        self.failing = ""
        """The reason why the last drain failed, or "" if it succeeded."""
        self._spool = spool
        self._open_database = open_database
        self._open_for_reading = open_for_reading or open_database
        self._reader = SegmentReader(read_answer)
        self._interval_s = interval_s
        self._retention_s = retention_days * DAY_S
        self._retention: Retention | None = None
        self._clock = clock
        self._uptime = uptime
        self._purge_at = 0.0
        """The uptime at which the next purge is due."""
        self._jumped = False
        self._database: Database | None = None
        self._ask_database: Database | None = None
        self._thread = ThreadPoolExecutor(1, "foreword-records")
        self._ask_thread = ThreadPoolExecutor(1, "foreword-records-ask")
        self._turn = asyncio.Lock()
        self._queued: asyncio.Task[None] | None = None

    @property
    def inserted(self) -> int:
        return self._reader.inserted

    @property
    def unreadable(self) -> int:
        return self._reader.unreadable

    @property
    def quarantined(self) -> int:
        return self._reader.quarantined

    @property
    def is_open(self) -> bool:
        """Whether the connections for writing and for reading are both open. Opening the database for the first time
        may take long.
        """
        return self._database is not None and self._ask_database is not None

    async def run(self) -> None:
        """Drain repeatedly until the task is cancelled."""
        pause_s = self._interval_s
        while True:
            # the loop survives any error: the next try may succeed, and without a drain records would be lost
            try:
                await self.flush()
                pause_s = self._interval_s
            except Exception as error:
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
                log.debug("next drain in %.0f s, after: %s", pause_s, error)
            await asyncio.sleep(pause_s)

    async def flush(self) -> None:
        """Drain all records that this process has written so far. Raises `DatabaseFailed` or `ConfigError`."""
        if self._queued is None:
            self._queued = asyncio.ensure_future(self._flush())
            self._queued.add_done_callback(_retrieved)
        # shielded: a cancelled caller must not let the next drain start while this one runs on its thread
        await asyncio.shield(self._queued)

    async def _flush(self) -> None:
        async with self._turn:
            self._queued = None  # later callers may have recorded more than this drain reads
            if self.failing:
                # otherwise each try would leave another small segment with an open file
                await self._in_thread(self._drain)
            self._spool.rotate()
            await self._in_thread(self._drain)

    async def ask(self, work: Callable[[Database], T]) -> T:
        """Run a function on the database, in parallel with the drain. Raises `NotReady` if the database is down.

        If the caller is cancelled before the function starts, the function does not start. Nothing may be written after
        the client has got an error.
        """
        given_up = False

        def timely() -> T:
            database = self._open_to_ask()
            if given_up:
                raise DatabaseFailed("the caller was cancelled")
            return work(database)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._ask_thread, timely)
        except (DatabaseFailed, ConfigError) as error:
            raise not_ready(error) from error
        finally:
            given_up = True

    async def aclose(self) -> None:
        """Drain once more and close the database. Records that remain in the spool are drained by the next process."""
        with suppress(DatabaseFailed, ConfigError, OSError):
            await self.flush()
        await self._in_thread(self._close)
        self._thread.shutdown()
        self._ask_thread.shutdown()
        if self._ask_database is not None:
            self._ask_database.close()
        self._spool.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _drain(self) -> None:
        try:
            database = self._open()
            self._take_own(database)
            self._reader.take_orphans(self._spool.folder, database)
            self._purge(database)
        except Exception as error:
            if not self.failing:
                known = isinstance(error, (DatabaseFailed, ConfigError, OSError))
                log.error("records stay in the spool: %s", error, exc_info=None if known else error)
            self.failing = str(error) or type(error).__name__
            raise
        finally:
            self._spool.measure()
        if self.failing:
            log.info("records are drained again")
            self.failing = ""

    def _take_own(self, database: Database) -> None:
        waiting = self._spool.closed
        while waiting:
            segment = waiting[0]
            try:
                whole = self._reader.take(segment.path, database)
            except FileNotFoundError:
                log.error("%s was deleted before it was drained", segment.path.name)
                whole = True
            segment.remove() if whole else segment.set_aside()
            waiting.popleft()

    def _purge(self, database: Database) -> None:
        if self._retention is None or self._uptime() < self._purge_at:
            return
        self._purge_at = self._uptime() + PURGE_EVERY_S
        self._report_jump(self._retention.jump_s())
        count, _ = database.size()
        most = most_at_once(count)
        deleted = database.purge(self._retention.before_s(), most)
        if deleted:
            log.info("deleted %d exchanges that were older than the retention", deleted)
        if deleted == most:
            log.warning("exchanges older than the retention may remain, because one purge deletes at most %d", most)

    def _report_jump(self, jump_s: float) -> None:
        if jump_s and not self._jumped:
            log.error("the clock jumped %.1f h ahead; ages of records ignore the jump", jump_s / 3600)
        self._jumped = bool(jump_s)

    def _open(self) -> Database:
        if self._database is None:
            database = self._open_database()
            if self._retention_s:
                # read before this process stores a record, because its own clock may be wrong
                _, newest_s = database.size()
                self._retention = Retention(self._retention_s, newest_s, self._clock, self._uptime)
            self._database = database
        return self._database

    def _open_to_ask(self) -> Database:
        until_s = time.monotonic() + OPENING_S
        while self._ask_database is None:
            try:
                self._ask_database = self._open_for_reading()
            except DatabaseFailed:
                # the drain may hold the lock while it upgrades a new database's schema
                if self._database is not None or self.failing or time.monotonic() > until_s:
                    raise
        return self._ask_database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def not_ready(error: Exception) -> NotReady:
    """Return the error for clients while the database is down. The message gives the cause but not the address."""
    log.error("records cannot be read: %s", error)
    return NotReady(f"The records cannot be used{outage_cause(str(error))}. Try again later.", retry_after_s=5)


def _retrieved(task: asyncio.Task[None]) -> None:
    """Mark the exception of a drain as retrieved.

    Without this, asyncio would log the exception if all callers that waited for the drain were cancelled.
    """
    if not task.cancelled():
        task.exception()
