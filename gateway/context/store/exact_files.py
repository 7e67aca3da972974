"""The files of a collection in the built-in vector store, and the head that says which ones count.

A processor compares vectors with a query twice as fast where the first numbers of many lie side by side, then the
second ones, and so on. So what fills a block is there once more in this form; the rest, and single ones, are read
from the rows.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from msgspec import Struct

PAIR = 16
"""Bytes of a chunk's key and its document's."""
BLOCK = 4096
"""Vectors whose numbers lie side by side; with half as many a comparison takes a tenth longer."""


class IndexHead(Struct, frozen=True):
    """What `index.json` says."""

    dimensions: int
    generation: int = 1


class Stamp(Struct, frozen=True):
    """What a mapping was made of: another one means mapping again."""

    head: IndexHead
    rows: int
    inode: int
    written: tuple[int, int]
    """The inode and the time of the head's file."""


def head_of(folder: Path) -> IndexHead | None:
    try:
        return IndexHead(**json.loads((folder / "index.json").read_text("utf-8")))
    except FileNotFoundError:
        return None


def write_head(folder: Path, head: IndexHead) -> None:
    draft = folder / f"index.{os.getpid()}.tmp"
    draft.write_text(json.dumps({"dimensions": head.dimensions, "generation": head.generation}), "utf-8")
    draft.replace(folder / "index.json")


def stamp_of(folder: Path, known: Stamp | None = None) -> Stamp | None:
    """What is there now. `known`: what was there the last time, whose head is not read again."""
    try:
        file = (folder / "index.json").stat()
    except FileNotFoundError:
        return None
    written = file.st_ino, file.st_mtime_ns
    head = known.head if known is not None and known.written == written else head_of(folder)
    if head is None:
        return None
    pairs, _ = files_of(folder, head)
    try:
        found = pairs.stat()
    except FileNotFoundError:
        # a new generation came between the two, or nothing was ever added
        return Stamp(head, 0, 0, written) if head_of(folder) == head else stamp_of(folder)
    return Stamp(head, found.st_size // PAIR, found.st_ino, written)


def files_of(folder: Path, head: IndexHead) -> tuple[Path, Path]:
    return folder / f"keys.{head.generation}", folder / f"vectors.{head.generation}"


def columns_of(folder: Path, head: IndexHead) -> Path:
    return folder / f"columns.{head.generation}"


def blocks_in(columns: Path, head: IndexHead) -> int:
    return columns.stat().st_size // (BLOCK * head.dimensions * 4) if columns.exists() else 0


def write_blocks(folder: Path, head: IndexHead, rows: int, before: int) -> None:
    """Lay what fills blocks side by side too, where there are `rows` vectors now and were `before`.

    Those from `before` on may be there from a write that was broken off, so they are written again.
    """
    columns = columns_of(folder, head)
    size = BLOCK * head.dimensions * 4
    for block in range(min(before // BLOCK, blocks_in(columns, head)), rows // BLOCK):
        vectors = mapped(files_of(folder, head)[1], "float32", (rows, head.dimensions))
        put(columns, block * size, vectors[block * BLOCK : (block + 1) * BLOCK].T.tobytes())


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


def mapped(file: Path, dtype: Any, shape: tuple[int, ...], *, writable: bool = False) -> Any:
    """The file as an array. A plain view: each operation on the mapping's own type goes through Python."""
    import numpy as np

    return np.memmap(file, dtype, "r+" if writable else "r", shape=shape).view(np.ndarray)
