"""Takes what the spool holds into the database, in batches, on one thread beside the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from gateway.errors import ConfigError, DatabaseFailed, NotReady
from gateway.records.frames import stored, unpack
from gateway.records.reply import answer_in
from gateway.records.schema import ReadAnswer, StoredRecord, UnknownSchema, entry
from gateway.records.segments import claimed, segments, set_aside
from gateway.records.spool import Spool

if TYPE_CHECKING:  # SQLAlchemy is imported when the database is opened, not at start
    from gateway.records.database import Database

log = logging.getLogger("foreword.drain")

BATCH = 500
MAX_PAUSE_S = 60.0
PURGE_EVERY_S = 3600.0
DAY_S = 86400.0
T = TypeVar("T")


class SegmentReader:
    """Reads segment files into a database. Blocking, and one at a time.

    A segment goes in by batches. After a crash or a failure it is read again from its start, and
    what is there already stays as it is.
    """

    def __init__(self, read_answer: ReadAnswer) -> None:
        self._read_answer = read_answer
        self.inserted = 0
        self.unreadable = 0
        """Frames that could not be read; their segments are kept as `*.damaged`."""

    def take(self, path: Path, database: Database) -> bool:
        """Insert a segment's records. False if part of it could not be read."""
        frames, scan = unpack(path.read_bytes())
        unreadable = self.unreadable
        for batch in _batches(frames, BATCH):
            entries = [found for frame in batch if (found := self._read(frame, path)) is not None]
            self.inserted += database.enter(entries)
        if scan.damaged:
            self.unreadable += 1
            log.error("damaged segment: %s is whole up to byte %d of %d", path.name, scan.good, scan.total)
        return self.unreadable == unreadable

    def take_orphans(self, folder: Path, database: Database) -> None:
        """Insert and delete the segments whose writers are dead."""
        for path in segments(folder):
            with claimed(path) as mine:
                if not mine:
                    continue
                log.info("reading %s, which another process left", path.name)
                if self.take(path, database):
                    path.unlink(missing_ok=True)
                else:
                    set_aside(path)

    def _read(self, payload: memoryview, path: Path) -> StoredRecord | None:
        try:
            frame = stored(payload)
            if not frame.body:
                return entry(frame.record)
            answer = answer_in(self._read_answer, frame.body, frame.content_type, frame.content_encoding)
            return entry(frame.record, answer)
        except (msgspec.DecodeError, UnicodeDecodeError, UnknownSchema) as error:
            self.unreadable += 1
            log.error("unreadable record in %s: %s", path.name, error)
            return None


class Drain:
    """The background task of one process. Its own segments it drains as they fill; those of dead
    processes whenever it sees them; those of other live workers never.

    While the database is down it waits longer and longer, up to a minute, and the spool grows.
    """

    def __init__(
        self,
        spool: Spool,
        database_factory: Callable[[], Database],
        read_answer: ReadAnswer,
        interval_s: float = 1.0,
        *,
        retention_days: float = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.failing = ""
        """Why the last drain failed; "" while all is well."""
        self._spool = spool
        self._factory = database_factory
        self._intake = SegmentReader(read_answer)
        self._interval_s = interval_s
        self._retention_s = retention_days * DAY_S
        self._clock = clock
        self._purge_at = 0.0
        self._database: Database | None = None
        self._thread = ThreadPoolExecutor(1, "foreword-records")

    @property
    def inserted(self) -> int:
        return self._intake.inserted

    @property
    def unreadable(self) -> int:
        return self._intake.unreadable

    async def run(self) -> None:
        """Drain for ever, until cancelled."""
        pause_s = self._interval_s
        while True:
            # Whatever goes wrong here, the next try may work, and a dead drain would lose records.
            try:
                await self.flush()
                pause_s = self._interval_s
            except Exception as error:
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
                log.debug("next drain in %.0f s, after: %s", pause_s, error)
            await asyncio.sleep(pause_s)

    async def flush(self) -> None:
        """Drain now all that this process recorded so far. Raises `DatabaseFailed` or `ConfigError`."""
        if self.failing:
            # each try would else leave one more small segment, and its open file
            await self._in_thread(self._drain)
        self._spool.rotate()
        await self._in_thread(self._drain)

    async def ask(self, work: Callable[[Database], T]) -> T:
        """Do something with the database, between two drains. Raises `NotReady` if it is down."""
        try:
            return await self._in_thread(lambda: work(self._open()))
        except (DatabaseFailed, ConfigError) as error:
            raise not_ready(error) from error

    async def aclose(self) -> None:
        """A last drain; what the database does not take now, the next process reads from the spool."""
        with suppress(DatabaseFailed, ConfigError, OSError):
            await self.flush()
        await self._in_thread(self._close)
        self._thread.shutdown()
        self._spool.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _drain(self) -> None:
        try:
            database = self._open()
            self._take_own(database)
            self._intake.take_orphans(self._spool.folder, database)
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
                whole = self._intake.take(segment.path, database)
            except FileNotFoundError:
                log.error("%s was deleted before it was drained", segment.path.name)
                whole = True
            segment.remove() if whole else segment.set_aside()
            waiting.popleft()

    def _purge(self, database: Database) -> None:
        now = self._clock()
        if not self._retention_s or now < self._purge_at:
            return
        self._purge_at = now + PURGE_EVERY_S
        if gone := database.purge(now - self._retention_s):
            log.info("%d exchanges were older than the retention and are deleted", gone)

    def _open(self) -> Database:
        if self._database is None:
            self._database = self._factory()
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def not_ready(error: Exception) -> NotReady:
    """What a client is told while the database is down: without its address, which an error may name."""
    log.error("records cannot be read: %s", error)
    return NotReady("The records' database cannot be used now. Try again later.", retry_after_s=5)


def _batches(items: Sequence[memoryview], size: int) -> Iterator[Sequence[memoryview]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
