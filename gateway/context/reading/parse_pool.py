"""Reads several documents at the same time, each in its own process."""

import queue
from pathlib import Path

from gateway.context.reading.document import Document
from gateway.context.reading.parse_process import ParseProcess
from gateway.context.reading.recognition import NO_RECOGNITION, Recognition
from gateway.errors import CollectionError

READERS = 3


class ParsePool:
    """Satisfies `ingest.Read`. Up to `count` threads can read at the same time. Each process is started when it is
    first needed.
    """

    def __init__(
        self, count: int = READERS, *, time_s: float | None = None, recognition: Recognition = NO_RECOGNITION
    ) -> None:
        """`time_s` is the time limit for each file. If it is None, the limit depends on the file's size."""
        self.count = count
        self._readers = [ParseProcess(time_s=time_s, recognition=recognition) for _ in range(count)]
        # the process that was used last comes first, so that no more processes start than are needed
        self._idle: queue.LifoQueue[ParseProcess] = queue.LifoQueue()
        for reader in reversed(self._readers):
            self._idle.put(reader)
        self._is_closed = False

    def __call__(self, path: Path, name: str = "") -> Document:
        """Read a document from a file. Raises `CollectionError`."""
        if self._is_closed:
            raise CollectionError(f"{name or path.name}: its reading was stopped")
        reader = self._idle.get()
        try:
            return reader(path, name)
        finally:
            self._idle.put(reader)

    def close(self) -> None:
        """End the processes. If a file is being read, that call raises `CollectionError`."""
        self._is_closed = True
        for reader in self._readers:
            reader.abort()
        for reader in self._readers:
            reader.close()
