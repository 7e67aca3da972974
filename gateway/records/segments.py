"""Segment files. The writer of a segment holds a lock on it. The kernel releases the lock when the writer dies.

So a segment without a lock has no writer. Process ids would not prove that: they are reused, and in containers every
process may have the same id.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".spool"
DAMAGED = ".damaged"


class SegmentFile:
    """An open segment file. It stays locked until `close`, even after the last write."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self.path = path
        self.size = 0
        # locked before it gets its final name, or another process could claim it
        unborn = path.with_suffix(".new")
        self._fd = os.open(unborn, flags, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unborn.rename(path)

    def append(self, data: bytes | bytearray) -> None:
        """Append `data` with one write. If the disk has no space, raise `OSError` and leave the file unchanged."""
        wrote = os.write(self._fd, data)
        if wrote != len(data):
            os.ftruncate(self._fd, self.size)
            raise OSError(f"only {wrote} of {len(data)} bytes could be written to the disk")
        self.size += wrote

    def remove(self) -> None:
        """Delete the file and close it."""
        self.path.unlink(missing_ok=True)
        self.close()

    def set_aside(self) -> None:
        """Rename the file so that no drain reads it again, and close it."""
        set_aside(self.path)
        self.close()

    def close(self) -> None:
        os.close(self._fd)


def set_aside(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.rename(path.with_suffix(DAMAGED))


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Try to claim a segment. Yields True if its writer is dead; then no other process can claim the segment inside the
    block. Yields False if the segment has a writer or does not exist."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _locks(fd) and path.exists()
    finally:
        os.close(fd)


def _locks(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def segments(folder: Path) -> list[Path]:
    """Return all segment files, oldest first. A name begins with the time of creation."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def folder_bytes(folder: Path) -> int:
    """Return the total size of the files in a folder, damaged segments included. Return 0 if there is no folder."""
    total = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                total += entry.stat().st_size
    return total
