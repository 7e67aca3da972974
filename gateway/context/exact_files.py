"""The two files of a collection in the built-in vector store, and the head that says which ones count."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from msgspec import Struct

PAIR = 16
"""Bytes of a chunk's key and its document's."""


class Head(Struct, frozen=True):
    """What `index.json` says."""

    dimensions: int
    generation: int = 1


class Stamp(Struct, frozen=True):
    """What a mapping was made of: another one means mapping again."""

    head: Head
    rows: int
    inode: int


def head_of(folder: Path) -> Head | None:
    try:
        return Head(**json.loads((folder / "index.json").read_text("utf-8")))
    except FileNotFoundError:
        return None


def write_head(folder: Path, head: Head) -> None:
    draft = folder / f"index.{os.getpid()}.tmp"
    draft.write_text(json.dumps({"dimensions": head.dimensions, "generation": head.generation}), "utf-8")
    draft.replace(folder / "index.json")


def stamp_of(folder: Path) -> Stamp | None:
    head = head_of(folder)
    if head is None:
        return None
    pairs, _ = files_of(folder, head)
    try:
        found = pairs.stat()
    except FileNotFoundError:
        # a new generation came between the two, or nothing was ever added
        return Stamp(head, 0, 0) if head_of(folder) == head else stamp_of(folder)
    return Stamp(head, found.st_size // PAIR, found.st_ino)


def files_of(folder: Path, head: Head) -> tuple[Path, Path]:
    return folder / f"keys.{head.generation}", folder / f"vectors.{head.generation}"


def rows_in(pairs: Path) -> int:
    return pairs.stat().st_size // PAIR if pairs.exists() else 0


def put(file: Path, place: int, content: bytes) -> None:
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        written = 0
        while written < len(content):
            written += os.pwrite(handle, content[written:], place + written)
    finally:
        os.close(handle)


def mapped(file: Path, dtype: Any, shape: tuple[int, int], *, writable: bool = False) -> Any:
    """The file as an array. A plain view: each operation on the mapping's own type goes through Python."""
    import numpy as np

    return np.memmap(file, dtype, "r+" if writable else "r", shape=shape).view(np.ndarray)
