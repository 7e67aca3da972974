"""The built-in vector store. Up to `exact_up_to` vectors it compares every one with the query, so it always finds the
nearest. In larger collections it compares those whose signs are nearest (`signs.py`).

The store needs only numpy. Several processes can read while one process writes, and a writer can be killed at any
moment. A search of 100,000 vectors of 384 numbers takes 16 ms on one core. faiss' flat index takes 15.2 ms, and
usearch's exact search 35.1 ms.

A collection is a folder with two files that only grow. One file holds the vectors. The other holds, for each vector,
the keys of its chunk and its document. A large collection has a third with the vectors' signs. A removed vector is
overwritten with zeros at once, and searches skip its place. When more than half of the places are empty, the files are
written anew as the next generation. Readers need no lock: they map the files into memory, and map them again after
growth or a new generation.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from gateway.context.store.exact_files import (
    Stamp,
    stamp_of,
)
from gateway.context.store.exact_index import MappedIndex
from gateway.context.store.exact_writer import IndexWriter
from gateway.context.store.shared_folder import SharedFolder, damaged, set_aside
from gateway.errors import CollectionError, Problem, StoreDamaged
from gateway.registry import AdapterKind

if TYPE_CHECKING:
    from gateway.ports import Vectors

ID = re.compile(r"[\w-]{1,128}", re.ASCII)
"""The form of a collection's id. The id contains no dot, unlike the name of a damaged folder that was moved aside."""


EXACT_UP_TO = 200_000
"""Comparing so many vectors of 384 numbers takes some 25 ms, and twice that on a busy machine."""


class ExactSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[store] kind = "exact"`: compares every vector with the query, up to a limit. Needs numpy and a folder."""

    path: str = ""
    """The folder, relative to the config file. Default: `vectors` in the data folder."""
    exact_up_to: Annotated[int, Meta(ge=1)] = EXACT_UP_TO
    """Up to this many vectors, a search of a collection compares all. Above it, a search compares only some 8,000 whose
    signs are nearest to the query's. This is several times faster, and misses few."""


class ExactStore:
    """Satisfies `ports.VectorStore`. Several threads and processes may share the folder."""

    def __init__(self, folder: Path, exact_up_to: int = EXACT_UP_TO) -> None:
        self.folder = folder
        self.exact_up_to = exact_up_to
        self._open: dict[str, MappedIndex] = {}
        self._opening = threading.Lock()

    def collections(self) -> Sequence[str]:
        if not self.folder.is_dir():
            return []
        names = [head.parent.name for head in self.folder.glob("*/index.json")]
        return sorted(name for name in names if ID.fullmatch(name))

    def add(self, collection: str, document: int, keys: Sequence[int], vectors: Vectors) -> None:
        unique = {key: row for row, key in enumerate(keys)}
        with self._writing(collection) as writer:
            writer.remove_keys(unique)
            writer.append(document, list(unique), vectors[list(unique.values())])

    def search(
        self, collection: str, vector: Vectors, limit: int, documents: Sequence[int] | None = None
    ) -> Sequence[tuple[int, float]]:
        index = self._index(collection)
        return index.nearest(vector, limit, documents) if index else []

    def remove(self, collection: str, documents: Sequence[int] | None = None) -> int:
        if not (self._folder(collection) / "index.json").exists():
            return 0
        if documents is None:
            return self._drop(collection)
        with self._writing(collection) as writer:
            return writer.remove_documents(documents)

    def count(self, collection: str) -> int:
        index = self._index(collection)
        return index.count() if index else 0

    def mend(self, collection: str) -> None:
        folder = self._folder(collection)
        try:
            self._index(collection)
        except StoreDamaged:
            with SharedFolder(self.folder).use(writing=True), self._opening:
                set_aside(folder)
                self._open.pop(collection, None)

    def close(self) -> None:
        with self._opening:
            self._open.clear()

    def _drop(self, collection: str) -> int:
        with self._writing(collection) as writer:
            count = writer.remove_documents(None)
            # deleted first, so that a reader that misses another file sees the reason
            (self._folder(collection) / "index.json").unlink(missing_ok=True)
            shutil.rmtree(self._folder(collection), ignore_errors=True)
        with self._opening:
            self._open.pop(collection, None)
        return count

    def _folder(self, collection: str) -> Path:
        if not ID.fullmatch(collection):
            raise CollectionError(f"{collection!r} is not the id of a collection")
        return self.folder / collection

    def _index(self, collection: str) -> MappedIndex | None:
        """Return the current files of the collection, or None if there are none. Raises `StoreDamaged`."""
        folder = self._folder(collection)
        known = self._open.get(collection)
        stamp = stamp_of(folder, known.stamp if known else None)
        while stamp is not None:
            try:
                return self._opened(collection, folder, stamp)
            except (FileNotFoundError, ValueError) as error:
                # the files are damaged, unless a new generation has just replaced them
                before, stamp = stamp, stamp_of(folder)
                if stamp == before:
                    raise damaged(folder, str(error)) from error
        return None

    def _opened(self, collection: str, folder: Path, stamp: Stamp) -> MappedIndex:
        with self._opening:
            known = self._open.get(collection)
            if known is None or known.stamp != stamp:
                known = self._open[collection] = MappedIndex(folder, stamp, self.exact_up_to)
            return known

    def _writing(self, collection: str) -> IndexWriter:
        return IndexWriter(SharedFolder(self.folder), self._folder(collection), self.exact_up_to)


def build(name: str, settings: ExactSettings, parts: Any) -> ExactStore:
    """Build the store. `parts.settings` gives the data folder, and the folder to which relative paths refer."""
    folder = parts.settings.data_folder / "vectors"
    if settings.path:
        folder = (parts.settings.root / Path(settings.path).expanduser()).resolve()
    return ExactStore(folder, settings.exact_up_to)


def check(settings: ExactSettings, _root: Path) -> Iterable[Problem]:
    if find_spec("numpy") is None:
        yield Problem("kind", "numpy is not installed", "Run: pip install 'foreword[context]'")


KIND = AdapterKind(settings=ExactSettings, build=build, check=check)
