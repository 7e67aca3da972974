"""Writes a text file so that a reader sees the old text or the new, never a piece of either."""

import os
import tempfile
from pathlib import Path


def write_whole(file: Path, text: str, *, durable: bool = True) -> None:
    """Write it beside and move it into place, with the permissions of the file that it replaces.

    A new file is readable by its owner alone. `durable`: on the disk before it is moved, so that even a machine that
    loses power has the old text or the new.
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
