"""The spool: appends each finished exchange to a file with one write, without waiting for the database."""

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from gateway.exchange import Exchange
from gateway.ports import ExchangeOutcome
from gateway.records.frames import Frame, pack
from gateway.records.policy import RecordPolicy, hashed_record
from gateway.records.reply import answer_in
from gateway.records.schema import ReadAnswer, record_of
from gateway.records.segments import SUFFIX, SegmentFile, folder_bytes

log = logging.getLogger("foreword.spool")

MB = 1024 * 1024
READ_AGAIN_BYTES = 64 * 1024
"""A write buffer that grew larger than this is replaced, so that the memory of a huge body is freed."""


class Spool:
    """Appends finished exchanges to segment files. Only the event loop's thread may use it.

    Records are written without fsync: they survive a crash of the process but not of the machine. New records are
    dropped while the folder has about `max_spool_mb` or more. `dropped` counts all dropped records. `errors` counts
    those that were dropped because the disk refused the write or the folder was full.
    """

    def __init__(
        self,
        folder: Path,
        policy_default: str,
        *,
        read_answer: ReadAnswer,
        segment_mb: float = 16,
        max_spool_mb: float = 1024,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.folder = folder
        self.written = 0
        self.dropped = 0
        self.errors = 0
        self.closed: deque[SegmentFile] = deque()
        """The segments that wait for the drain, oldest first."""
        self._policy_default = policy_default
        self._read_answer = read_answer
        self._segment_bytes = int(segment_mb * MB)
        self._max_bytes = int(max_spool_mb * MB)
        self._clock_ns = clock_ns
        self._buffer = bytearray()
        self._current: SegmentFile | None = None
        self._complained = False
        folder.mkdir(parents=True, exist_ok=True)
        self.bytes = folder_bytes(folder)
        """The size of the folder in bytes. Each drain measures it. Between drains, only the writes of this process are
        added."""

    def record(self, exchange: Exchange, outcome: ExchangeOutcome) -> None:
        policy = exchange.key.record or self._policy_default
        if policy == RecordPolicy.NONE:
            return
        # an exception here would turn a finished answer into an error
        try:
            self._write(exchange, outcome, policy)
        except Exception as error:
            self._refused(error)

    def rotate(self) -> None:
        """Close the current segment, so that the drain can read it."""
        if self._current is not None:
            self.closed.append(self._current)
            self._current = None

    def measure(self) -> None:
        """Measure the size of the folder again, because other workers add files and drains delete files."""
        self.bytes = folder_bytes(self.folder)

    def close(self) -> None:
        """Close all segments. The next process to start drains the remaining ones."""
        self.rotate()
        while self.closed:
            self.closed.popleft().close()

    def _write(self, exchange: Exchange, outcome: ExchangeOutcome, policy: str) -> None:
        if self.bytes >= self._max_bytes:
            raise OSError(f"the spool is full: {self.bytes // MB} MB wait for the database")
        pack(self._frame(exchange, outcome, policy), self._buffer)
        segment = self._current or self._open()
        segment.append(self._buffer)
        self.written += 1
        self.bytes += len(self._buffer)
        self._complained = False
        if segment.size >= self._segment_bytes:
            self.rotate()
        if len(self._buffer) > READ_AGAIN_BYTES:
            self._buffer = bytearray()

    def _frame(self, exchange: Exchange, outcome: ExchangeOutcome, policy: str) -> Frame:
        record = record_of(exchange, outcome, policy)
        if policy == RecordPolicy.FULL:
            return Frame(record, outcome.body, outcome.content_type, outcome.content_encoding)
        # the reply is read here, not in the drain, because its text must not reach the disk
        answer = answer_in(self._read_answer, outcome.body, outcome.content_type, outcome.content_encoding)
        return Frame(hashed_record(replace(record, answer=answer)))

    def _open(self) -> SegmentFile:
        name = f"{self._clock_ns():020d}-{os.getpid()}{SUFFIX}"
        self._current = SegmentFile(self.folder / name)
        return self._current

    def _refused(self, error: Exception) -> None:
        self.dropped += 1
        if isinstance(error, OSError):
            self.errors += 1
        if not self._complained:  # not logged again until a write succeeds: the log may be on the same full disk
            log.error("exchanges are not recorded: %s", error)
            self._complained = True
