"""Reads waiting files before the ingest needs them, several at a time. Client keys take turns."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from time import monotonic

from gateway.context.ingest.attachments import Attachment
from gateway.context.reading.document import Document

HEAD_START_S = 0.25
"""The seconds to wait for the file that was started first, so that files keep their order if they are read quickly."""
LOOK_S = 0.5
"""The seconds to wait for a slow file before new attachments are looked for."""

Load = Callable[[Attachment], Document]
Next = Callable[[str, list[Attachment]], tuple[Attachment, str] | None]
"""A function that returns the next file to read and the client key that owns the file, or None.

The arguments are the client key that was served last, and the files that are being read.
"""


class FileBeingRead:
    """An attached file, the client key that owns the file, and the future of its document."""

    def __init__(self, attachment: Attachment, owner: str, document: Future[Document]) -> None:
        self.attachment = attachment
        self.owner = owner
        self.document = document
        self.took_s = 0.0
        """The seconds that the reading took."""
        began = monotonic()
        document.add_done_callback(lambda _: self._end(began))

    def _end(self, began: float) -> None:
        self.took_s = monotonic() - began


class ReadAhead:
    """The files that are being read. Only one thread may use this object."""

    def __init__(self, load: Load, count: int) -> None:
        """`load` reads a file. Up to `count` threads call it."""
        self._load = load
        self._count = count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="read")
        self._files: list[FileBeingRead] = []
        self._served = ""

    def fill(self, following: Next) -> None:
        """Start to read more files. A single client key may not occupy the last free reader."""
        while len(self._files) < self._count:
            chosen = following(self._served, [file.attachment for file in self._files])
            if chosen is None:
                return
            attachment, owner = chosen
            mine = sum(file.owner == owner for file in self._files)
            if mine and mine >= self._count - 1:
                return
            self._served = owner
            self._files.append(FileBeingRead(attachment, owner, self._threads.submit(self._load, attachment)))

    @property
    def is_empty(self) -> bool:
        return not self._files

    def taken(self) -> FileBeingRead | None:
        """Take a file that was read, or whose reading failed. Waits for a short time, and returns None if no file is
        ready.
        """
        first = self._files[0]
        if not wait([first.document], timeout=HEAD_START_S).done:
            wait([file.document for file in self._files], timeout=LOOK_S, return_when=FIRST_COMPLETED)
        file = next((file for file in self._files if file.document.done()), None)
        if file is not None:
            self._files.remove(file)
        return file

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
