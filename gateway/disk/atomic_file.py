"""Writes text files atomically: a reader sees either the whole old text or the whole new text."""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.01


def write_whole(file: Path, text: str, *, durable: bool = True) -> None:
    """Write the text to a temporary file, and rename that file to `file`.

    An existing file keeps its permissions; only the owner can read a new file. With `durable`, the text is flushed to
    the disk before the rename, so that a power failure leaves either the old or the new text.
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
    """Hold an exclusive lock on a file while the caller reads and rewrites the file.

    The lock is on a second file, since `write_whole` replaces `file`. Raises `TimeoutError` after `patience_s`.
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
