"""Takes files into a collection: read, chunk, embed, store.

Adding is idempotent: a file whose bytes and whose way of being cut are known is left alone, a changed
one replaces what it was at once, and a broken one is reported while the others go in. What was killed goes
on at the chunk where it was.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.context.ingest.tune import Tuner
from gateway.context.reading import chunk as chunking
from gateway.context.reading import readers
from gateway.context.reading.document import Document
from gateway.context.store import lexical
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import Collections
from gateway.context.store.shared_folder import SharedFolder
from gateway.context.store.stored_documents import Attributes, Documents, indexed
from gateway.errors import CollectionError
from gateway.exchange import Chunk
from gateway.ports import Embedder, Vectors
from gateway.settings import Settings

BATCH = 64
"""Chunks that are embedded and written between two reports of progress."""
PATIENCE_S = 24 * 3600.0
"""How long an ingest waits for its turn: there is one at a time on a machine, for each is all arithmetic."""

PROBE = "The embedder that this collection was made with."
SAME_EMBEDDER = 0.999
"""The same model on another machine or in another batch gives almost the same vector."""

Read = Callable[[Path, str], Document]


class IngestItem(Struct, frozen=True):
    """A file to take in. `source` is what it replaces, `title` what it is cited by (the source, if left out)."""

    path: Path
    source: str
    title: str = ""
    file: str = ""
    attributes: Attributes = {}
    cut: chunking.Cut | None = None


class Progress(Struct, frozen=True):
    """How far an ingest is: file number `file` of `files`, and `done` of its `chunks`."""

    source: str
    file: int
    files: int
    done: int = 0
    chunks: int = 0


class AddedFile(Struct, frozen=True):
    """What became of a file. `state`: added, replaced, unchanged or failed, then with a `reason`."""

    source: str
    state: str
    chunks: int = 0
    reason: str = ""


class Ingest(Struct, frozen=True):
    """What adding files needs. `turns` is the folder of the lock that gives one ingest at a time its turn."""

    collections: Collections
    embedder: Embedder
    read: Read
    turns: Path
    cut: chunking.Cut = chunking.Cut()
    tuner: Tuner | None = None

    def add(
        self,
        collection: Collection,
        items: Iterable[IngestItem],
        on_progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> list[AddedFile]:
        """Take the files in, one after the other. Blocking; may be killed and called again.

        Raises `CollectionError` if the collection was made with another embedder.
        """
        files = list({item.source: item for item in items}.values())
        reports = []
        for number, item in enumerate(files, 1):
            progress = Progress(item.source, number, len(files))
            on_progress(progress)
            with self._turn():
                self._distrust(collection.id)
                reports.append(self._file(collection, item, progress, on_progress))
        with self._turn():
            documents = self._documents(collection)
            self.collections.clear(collection.id, [row.key for row in documents.leftovers()])
            documents.count_words()
            if self.tuner is not None:
                self.tuner.learn(collection)
        return reports

    def _turn(self) -> AbstractContextManager[Any]:
        return SharedFolder(self.turns, PATIENCE_S).use(writing=True)

    def _documents(self, collection: Collection) -> Documents:
        return self.collections.documents(collection.id)

    def _distrust(self, collection: str) -> None:
        """Give up the documents whose vectors the store lost: its folder was deleted, or it is another."""
        documents = self.collections.documents(collection)
        live = documents.live()
        if live and self.collections.vectors.count(collection) < documents.count():
            documents.retire([row.key for row in live])

    def _file(
        self, collection: Collection, item: IngestItem, progress: Progress, on_progress: Callable[[Progress], None]
    ) -> AddedFile:
        documents = self._documents(collection)
        try:
            recipe = self._recipe(item)
            known = documents.live_at(item.source)
            if known and known.recipe == recipe:
                documents.set_attributes(known.key, item.attributes)
                return AddedFile(item.source, "unchanged", documents.staged(known.key))
            chunks = self._chunks(collection, item)
        except CollectionError as error:
            return AddedFile(item.source, "failed", reason=str(error))
        self._check_embedder(collection)
        document = self._begun(documents, item, recipe)
        there = documents.keys(document)
        # killed before: whole batches are in, but the last one's vectors may not be
        for first in range(max(0, len(there) - 1) // BATCH * BATCH, len(chunks), BATCH):
            self._store(documents, document, chunks[first : first + BATCH], there[first : first + BATCH])
            on_progress(replace(progress, done=min(first + BATCH, len(chunks)), chunks=len(chunks)))
        documents.go_live(document)
        return AddedFile(item.source, "replaced" if known else "added", len(chunks))

    def _recipe(self, item: IngestItem) -> str:
        """What the chunks of a file depend on, as a hash."""
        try:
            with item.path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CollectionError(f"{item.path}: {error.strerror or error}") from error
        versions = (chunking.VERSION, readers.VERSION, lexical.VERSION)
        made_by = (versions, item.cut or self.cut, self.embedder.name, self.embedder.dimensions)
        return hashlib.sha256(f"{content} {made_by}".encode()).hexdigest()

    def _chunks(self, collection: Collection, item: IngestItem) -> list[Chunk]:
        return chunking.chunk(
            self.read(item.path, item.title or item.source),
            collection.id,
            item.source,
            self.embedder.count_tokens,
            item.cut or self.cut,
            self.embedder.window_tokens,
        )

    def _begun(self, documents: Documents, item: IngestItem, recipe: str) -> int:
        """The staged document: a new one, or the one that was begun before this was killed."""
        for row in documents.leftovers(item.source):
            if row.state == "staged" and row.recipe == recipe:
                documents.set_attributes(row.key, item.attributes)
                return row.key
        return documents.stage(item.source, recipe, title=item.title, file=item.file, attributes=item.attributes)

    def _store(self, documents: Documents, document: int, chunks: Sequence[Chunk], there: Sequence[int]) -> None:
        vectors = embedded([indexed(chunk.heading, chunk.text) for chunk in chunks], self.embedder)
        keys = there or documents.put(document, chunks)
        self.collections.vectors.add(documents.collection, document, keys, vectors)

    def _check_embedder(self, collection: Collection) -> None:
        """Vectors of two embedders must not be mixed: they look alike and mean nothing to each other."""
        import numpy as np

        probe = self.embedder.embed([PROBE])[0]
        before = np.frombuffer(self.collections.catalog.probe(collection.id), np.float32)
        if not before.size:
            self.collections.catalog.change(collection.id, probe=probe.astype(np.float32).tobytes())
        elif before.shape != probe.shape or float(before @ probe) < SAME_EMBEDDER:
            raise CollectionError(
                f"collection {collection.name!r} was made with another embedder; "
                f"run `foreword collections remove {collection.name}`, then add its files again"
            )


def new_ingest(settings: Settings, collections: Collections, embedder: Embedder, read: Read) -> Ingest:
    """As the configuration has it."""
    cut = chunking.Cut(settings.context.chunk_tokens)
    return Ingest(collections, embedder, read, settings.data_folder / "ingest", cut, Tuner(collections, embedder))


def embedded(texts: Sequence[str], embedder: Embedder) -> Vectors:
    """[texts, dimensions]. A text beyond the embedder's window, which a client can ask for, gets the mean of
    its parts' vectors: cut off, the rest would never be found."""
    import numpy as np

    parts = [chunking.within(text, embedder.count_tokens, embedder.window_tokens) for text in texts]
    vectors = embedder.embed([part for found in parts for part in found])
    if len(vectors) == len(texts):
        return vectors
    rows, first = [], 0
    for found in parts:
        mean = vectors[first : first + len(found)].mean(axis=0)
        rows.append(mean / (np.linalg.norm(mean) or 1.0))
        first += len(found)
    return np.stack(rows)


def source_name(path: Path, root: Path) -> str:
    """The name a file is cited by: its path below `root`, else its full path."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
