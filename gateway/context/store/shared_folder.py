"""Lets several processes share a folder whose files only one process may have open at a time.

Embedded Chroma keeps its index in memory, so a second process could work on a stale copy and write this copy back. Here
every use takes a lock. Every writer gives the folder a new version, which is a random number. A process that finds an
unknown version opens the files again.

The kernel releases the lock when a process ends, even after `kill -9`. The version changes before the first byte is
written. Other processes therefore notice a writer that died while writing.
"""

import fcntl
import itertools
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from gateway.errors import CollectionError, StoreDamaged

log = logging.getLogger("foreword.collections")

POLL_S = 0.002
LOCK = "foreword.lock"


class Versions(Struct, frozen=True):
    """The version of the folder before the lock was taken, and the version while the lock is held. A writer changes the
    version.
    """

    before: int
    held: int


class SharedFolder:
    """A folder that only one process at a time may use. One use is a read or a write."""

    def __init__(self, folder: Path, patience_s: float = 30.0) -> None:
        self.folder = folder
        self.patience_s = patience_s

    @contextmanager
    def use(self, *, writing: bool) -> Iterator[Versions]:
        """Hold the lock of the folder, and yield the versions of the folder. Raises `CollectionError` if another
        process holds the lock for longer than `patience_s`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        began = time.monotonic()
        try:
            self._lock(handle)
            began = time.monotonic()
            before = int(os.pread(handle, 32, 0) or b"0")
            held = secrets.randbelow(10**18) + 10**18 if writing else before
            if writing:
                os.pwrite(handle, b"%d" % held, 0)  # always 19 digits, so that nothing of the old number remains
            yield Versions(before, held)
        finally:
            os.close(handle)  # releases the lock too
            if writing:
                # the pause is as long as the use: a process that writes in a loop would otherwise starve the others
                time.sleep(min(2 * POLL_S, time.monotonic() - began))

    def _lock(self, handle: int) -> None:
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CollectionError(
                        f"{self.folder}: another process has held the store for {self.patience_s:.0f} s; "
                        "let it finish or end it"
                    ) from None
                time.sleep(POLL_S)


def damaged(folder: Path, reason: str) -> StoreDamaged:
    """Return the error for a folder with unreadable files. The message includes the remedy."""
    return StoreDamaged(
        f"{folder}: the vectors cannot be read ({reason}). Until they are stored again, searches use words only: "
        "add any file to the collection, and its vectors are computed again from the catalog's texts"
    )


def set_aside(folder: Path) -> Path:
    """Move all files except the lock to a new folder, and return that folder. The new folder is called
    `NAME.damaged-1`, or has the next free number.
    """
    numbers = itertools.count(1)
    aside = next(path for n in numbers if not (path := folder.with_name(f"{folder.name}.damaged-{n}")).exists())
    aside.mkdir()
    for file in folder.iterdir():
        if file.name != LOCK:
            file.rename(aside / file.name)
    log.warning("%s: damaged files were moved to %s", folder, aside)
    return aside
