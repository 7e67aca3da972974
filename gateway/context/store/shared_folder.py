"""Lets several processes use one folder of files that only one may have open.

Embedded Chroma keeps its index in memory, so a second process works on a stale copy and may write it
back. Here every use takes the lock, and every writer leaves a new version, a random number: whoever
finds a version that it has not seen opens the files anew. The lock is the kernel's, so it ends with
its holder, `kill -9` included; and the version changes before the first byte is written, so a writer
that dies half-way is noticed as well.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from gateway.errors import CollectionError

POLL_S = 0.002


class Versions(Struct, frozen=True):
    """The folder's version when the lock was taken, and while it is held."""

    found: int
    held: int


class SharedFolder:
    """A folder that is used by one process at a time, for as long as one read or one write takes."""

    def __init__(self, folder: Path, patience_s: float = 30.0) -> None:
        self.folder = folder
        self.patience_s = patience_s

    @contextmanager
    def use(self, *, writing: bool) -> Iterator[Versions]:
        """Hold the folder. Raises `CollectionError` if another process does not let go of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / "foreword.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock(handle)
            found = int(os.pread(handle, 32, 0) or b"0")
            held = secrets.randbelow(10**18) + 10**18 if writing else found
            if writing:
                os.pwrite(handle, b"%d" % held, 0)  # always 19 digits: nothing of the old one is left
            yield Versions(found, held)
        finally:
            os.close(handle)  # lets go of the lock, too
            if writing:  # who writes again and again would never be found to be through
                time.sleep(2 * POLL_S)

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
