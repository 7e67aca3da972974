"""Keeps the content of a file that another process may change."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

LOOK_AGAIN_S = 0.25

T = TypeVar("T")


class RereadFile(Generic[T]):
    """The content of a file. The file is checked every `LOOK_AGAIN_S`, and read again if it has changed.

    `read` is called with the path. It returns the new content, or None to keep the old content.
    """

    def __init__(self, path: Path, first: T, read: Callable[[Path], T | None], clock: Callable[[], float]) -> None:
        self._path = path
        self._content = first
        self._read = read
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._look_at = -1.0

    def current(self) -> T:
        """Return the content, after checking the file if a check is due."""
        now = self._clock()
        if now < self._look_at:
            return self._content
        self._look_at = now + LOOK_AGAIN_S
        seen = _stamp(self._path)
        if seen != self._seen:
            self._seen = seen
            content = self._read(self._path)
            if content is not None:
                self._content = content
        return self._content


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
