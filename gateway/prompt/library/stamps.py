"""Detects changes to a library's files without reading the files."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.prompt.library.pointers import FILE

ENDINGS = (".prompt.md", ".jsonl", FILE, "model.json")
Stamps = dict[str, tuple[int, int, int]]
"""The modification time, size and inode of each file."""


def stamps(folders: Sequence[Path]) -> Stamps:
    """Return the stamps of all template, example, pointer and classifier files.

    This call blocks, since it calls `stat` for each file.
    """
    by_file: Stamps = {}
    for folder in folders:
        by_file.update(_below(str(folder)))
    return by_file


def _below(folder: str) -> Iterator[tuple[str, tuple[int, int, int]]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_dir():
                yield from _below(entry.path)
            elif entry.name.endswith(ENDINGS):
                stat = entry.stat()
                yield entry.path, (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            continue  # the file was deleted in the meantime
