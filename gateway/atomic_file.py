"""Writes text files so that a reader sees either the whole old text or the whole new text."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.01


def write_whole(file: Path, text: str, *, durable: bool = True) -> None:
    """Write a temporary file and move it into place, with the permissions of the file that it replaces.

    A file that did not exist can be read by its owner only. If `durable` is true, the text is on the disk before the
    file is moved, so that the file holds either the old or the new text even after a power failure.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    number, draft = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        Path(draft).chmod(mode)
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


@contextmanager
def locked(file: Path, patience_s: float = 30.0) -> Iterator[None]:
    """Lock a file in order to read it and write it back. Other processes that lock the same file wait.

    The lock is a separate file, since `write_whole` replaces the file itself. Raises `TimeoutError` after
    `patience_s`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file.with_name(f".{file.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(handle, file, time.monotonic() + patience_s)
        yield
    finally:
        os.close(handle)  # releases the lock


def _lock(handle: int, file: Path, deadline_s: float) -> None:
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{file} is being written by another process; try again when it is done") from None
            time.sleep(POLL_S)
