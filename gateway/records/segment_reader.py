"""Reads segment files into a database, and sets aside records that the database can never store."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from gateway.errors import RecordRefused
from gateway.records.frames import stored, unpack
from gateway.records.quarantine import Quarantine
from gateway.records.reply import answer_in
from gateway.records.schema import ReadAnswer, StoredRecord, entry
from gateway.records.segments import claimed, segments, set_aside

if TYPE_CHECKING:  # SQLAlchemy is imported when the database is opened, not at start
    from gateway.records.database import Database

log = logging.getLogger("foreword.drain")

BATCH = 500
BATCH_BYTES = 16 * 1024 * 1024
"""A batch also ends when it reaches this size. The limit saves memory, because records hold decompressed answers."""


class ReadFrame(Struct, frozen=True):
    """A frame that was read: its bytes, its number in the segment, and its entry for the database."""

    number: int
    payload: memoryview
    record: StoredRecord


class SegmentReader:
    """Reads segment files into a database. Its methods block, and calls must not overlap.

    A segment is inserted in batches. After a crash, the segment is read again from its start. Records that are already
    in the database stay unchanged.
    """

    def __init__(self, read_answer: ReadAnswer) -> None:
        self._read_answer = read_answer
        self.inserted = 0
        self.unreadable = 0
        """How many frames could not be read. Their segments are kept as `*.damaged`."""
        self.quarantined = 0
        """How many records the database refused (see `Quarantine`)."""

    def take(self, path: Path, database: Database) -> bool:
        """Insert a segment's records. Returns False if part of it could not be read. Raises `DatabaseFailed`."""
        payloads, scan = unpack(path.read_bytes())
        unreadable = self.unreadable
        for batch in _batches(self._frames(payloads, path)):
            self._insert(batch, path, database)
        if scan.damaged:
            self.unreadable += 1
            log.error("damaged segment: %s is readable up to byte %d of %d", path.name, scan.good, scan.total)
        return self.unreadable == unreadable

    def take_orphans(self, folder: Path, database: Database) -> None:
        """Insert the records of segments whose writer is dead, and delete these segments.

        A segment with unreadable parts is renamed instead of deleted.
        """
        for path in segments(folder):
            with claimed(path) as mine:
                if not mine:
                    continue
                log.info("reading %s, left by another process", path.name)
                if self.take(path, database):
                    path.unlink(missing_ok=True)
                else:
                    set_aside(path)

    def _insert(self, batch: list[ReadFrame], path: Path, database: Database) -> None:
        """Insert a batch. If the database refuses the batch, insert its records one at a time and set refused records
        aside."""
        try:
            self.inserted += database.enter([frame.record for frame in batch])
            return
        except RecordRefused as error:
            log.warning("a batch of %s is inserted one record at a time: %s", path.name, error)
        for frame in batch:
            try:
                self.inserted += database.enter([frame.record])
            except RecordRefused as error:
                self.quarantined += 1
                Quarantine(path.parent).add(f"{path.stem}-{frame.number}", frame.payload, str(error))

    def _frames(self, payloads: Iterable[memoryview], path: Path) -> Iterator[ReadFrame]:
        for number, payload in enumerate(payloads):
            # the bytes come from disk, and one bad record must not lose the others
            try:
                record = self._read(payload)
            except Exception as error:
                self.unreadable += 1
                log.error("unreadable record in %s: %s", path.name, error)
                continue
            yield ReadFrame(number, payload, record)

    def _read(self, payload: memoryview) -> StoredRecord:
        frame = stored(payload)
        if not frame.body:
            return entry(frame.record)
        return entry(frame.record, answer_in(self._read_answer, frame.body, frame.content_type, frame.content_encoding))


def _batches(frames: Iterable[ReadFrame]) -> Iterator[list[ReadFrame]]:
    batch: list[ReadFrame] = []
    size = 0
    for frame in frames:
        batch.append(frame)
        size += len(frame.record.data)
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
