"""Adds files to a collection: reads, chunks, embeds and stores them.

A file with the same bytes and chunking as before is skipped, and a changed file replaces its old version at once. A
broken file is reported, and the others are added. If an ingest is killed, the next one continues at the next chunk.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.context.ingest.embedded import PROBE, check_embedder, embedded
from gateway.context.ingest.placement import carried_over
from gateway.context.ingest.tune import Tuner
from gateway.context.reading import chunk as chunking
from gateway.context.reading import readers
from gateway.context.reading.document import Document, ReadReport
from gateway.context.reading.recognition import Recognition
from gateway.context.store import lexical
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import Collections
from gateway.context.store.index_text import indexed
from gateway.context.store.placements import mark_placed, placements
from gateway.context.store.shared_folder import SharedFolder
from gateway.context.store.stored_documents import Attributes, Documents
from gateway.errors import CatalogUnavailable, CollectionError, DocumentGone, StoreDamaged
from gateway.exchange import Chunk
from gateway.ports import Embedder
from gateway.settings.tables import Settings

log = logging.getLogger("foreword.ingest")

BATCH = 64
"""The number of chunks that are embedded and written between two progress reports."""
PATIENCE_S = 24 * 3600.0
"""The time that an ingest waits for its turn. Only one ingest runs on a machine, since embedding uses all cores."""

Read = Callable[[Path, str], Document]


class IngestItem(Struct, frozen=True):
    """A file, which replaces the document with the same `source`. Citations show `title`, or else the source."""

    path: Path
    source: str
    title: str = ""
    file: str = ""
    attributes: Attributes = {}
    cut: chunking.Cut | None = None


class Progress(Struct, frozen=True):
    """The progress of an ingest: file number `file` of `files`, with `done` of its `chunks` stored."""

    source: str
    file: int
    files: int
    done: int = 0
    chunks: int = 0


class AddedFile(Struct, frozen=True):
    """The outcome for one file. `state` is added, replaced, unchanged or failed; a failed file has a `reason`.

    `report` comes from the reader. An unchanged file is not read, so it has no report.
    """

    source: str
    state: str
    chunks: int = 0
    reason: str = ""
    report: ReadReport = ReadReport()


OnProgress = Callable[[Progress], None]
FileReports = list[AddedFile]


def _ignore(_progress: Progress) -> None:
    pass


class Ingest(Struct, frozen=True):
    """Adds files. A lock in the folder `turns` lets only one ingest run on the machine."""

    collections: Collections
    embedder: Embedder
    read: Read
    turns: Path
    cut: chunking.Cut = chunking.Cut()
    tuner: Tuner | None = None
    recognised: tuple[str, ...] = ()
    """The languages whose text in pictures `read` recognises."""

    def add(
        self, collection: Collection, items: Iterable[IngestItem], on_progress: OnProgress = _ignore
    ) -> FileReports:
        """Add the files one by one. Blocking. If the process is killed, a new call continues with the file.

        Raises `CollectionError` if the collection was made with another embedder, and `DocumentGone` if a document or
        the collection is deleted meanwhile. If `on_progress` raises `DocumentGone`, the stored part of the file is
        deleted. After any other exception, the next call continues with the file.
        """
        files = list({item.source: item for item in items}.values())
        reports = []
        for number, item in enumerate(files, 1):
            progress = Progress(item.source, number, len(files))
            on_progress(progress)
            with self._turn():
                if number == 1:
                    self._restore_vectors(collection, progress, on_progress)
                reports.append(self._file(collection, item, progress, on_progress))
        with self._turn():
            self._finish(collection)
        return reports

    def _turn(self) -> AbstractContextManager[Any]:
        return SharedFolder(self.turns, PATIENCE_S).use(writing=True)

    def _finish(self, collection: Collection) -> None:
        documents = self.collections.documents(collection.id)
        self.collections.clear(collection.id, [row.key for row in documents.leftovers()])
        documents.count_words()
        if self.tuner is not None:
            self.tuner.learn(collection)

    def _restore_vectors(self, collection: Collection, progress: Progress, on_progress: OnProgress) -> None:
        """Embed the catalog's texts again if the vector store has lost their vectors.

        This happens if the store's folder is deleted or damaged, or if the configuration names another store.
        """
        documents = self.collections.documents(collection.id)
        if self._count_vectors(collection.id) >= documents.count():
            return
        check_embedder(self.collections.catalog, collection, self.embedder)
        probe = self.embedder.embed([PROBE])[0]
        for row in documents.live():
            keys = documents.keys(row.key)
            if len(self.collections.vectors.search(collection.id, probe, len(keys), [row.key])) >= len(keys):
                continue
            chunks = documents.of(row.key)
            for first in range(0, len(chunks), BATCH):
                self._store(documents, row.key, chunks[first : first + BATCH], keys[first : first + BATCH])
                on_progress(progress)

    def _count_vectors(self, collection: str) -> int:
        vectors = self.collections.vectors
        try:
            return vectors.count(collection)
        except StoreDamaged as error:
            log.warning("%s", error)
            vectors.mend(collection)
            return vectors.count(collection)

    def _file(self, collection: Collection, item: IngestItem, progress: Progress, on_progress: OnProgress) -> AddedFile:
        documents = self.collections.documents(collection.id)
        try:
            recipe = self._recipe(item)
            known = documents.live_at(item.source)
            if known and known.recipe == recipe:
                documents.set_attributes(known.key, item.attributes)
                return AddedFile(item.source, "unchanged", documents.staged(known.key))
            read = self.read(item.path, item.title or item.source)
            chunks = self._chunks(collection, item, read)
            before = placements(self.collections.catalog, known.key) if known else {}
            chunks, digests = carried_over(before, item.title or item.source, chunks)
        except CatalogUnavailable:
            raise
        except CollectionError as error:
            return AddedFile(item.source, "failed", reason=str(error))
        check_embedder(self.collections.catalog, collection, self.embedder)
        document = self._begun(documents, item, recipe)
        progress = replace(progress, chunks=len(chunks))
        try:
            self._store_all(documents, document, chunks, lambda done: on_progress(replace(progress, done=done)))
            mark_placed(self.collections.catalog, document, digests)
            documents.go_live(document)
        except DocumentGone:
            self._discard(collection.id, document)
            raise
        return AddedFile(item.source, "replaced" if known else "added", len(chunks), report=read.report)

    def _store_all(
        self, documents: Documents, document: int, chunks: Sequence[Chunk], on_batch: Callable[[int], None]
    ) -> None:
        stored = documents.keys(document)
        # after a kill, only the last batch can be incomplete, and its vectors may be missing
        for first in range(max(0, len(stored) - 1) // BATCH * BATCH, len(chunks), BATCH):
            self._store(documents, document, chunks[first : first + BATCH], stored[first : first + BATCH])
            on_batch(min(first + BATCH, len(chunks)))

    def _discard(self, collection: str, document: int) -> None:
        """Delete the stored part of a document that was deleted during the ingest, perhaps with its collection."""
        if self.collections.catalog.collection(collection) is None:
            self.collections.vectors.remove(collection)
        else:
            self.collections.clear(collection, [document])

    def _recipe(self, item: IngestItem) -> str:
        """Return a hash of everything that a file's chunks depend on."""
        try:
            with item.path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CollectionError(f"{item.path}: {error.strerror or error}") from error
        versions = (chunking.VERSION, readers.VERSION, lexical.VERSION)
        made_by: tuple[object, ...] = (versions, item.cut or self.cut, self.embedder.name, self.embedder.dimensions)
        if self.recognised:
            made_by += (self.recognised,)
        return hashlib.sha256(f"{content} {made_by}".encode()).hexdigest()

    def _chunks(self, collection: Collection, item: IngestItem, document: Document) -> list[Chunk]:
        return chunking.chunk(
            document,
            collection.id,
            item.source,
            self.embedder.count_tokens,
            item.cut or self.cut,
            self.embedder.window_tokens,
        )

    def _begun(self, documents: Documents, item: IngestItem, recipe: str) -> int:
        """Return the key of the unfinished document. If an interrupted ingest began this document, the document keeps
        its key. Otherwise a new document is begun.
        """
        for row in documents.at(item.source):
            if row.state == "staged" and row.recipe == recipe:
                documents.set_attributes(row.key, item.attributes)
                return row.key
        return documents.stage(item.source, recipe, title=item.title, file=item.file, attributes=item.attributes)

    def _store(self, documents: Documents, document: int, chunks: Sequence[Chunk], stored: Sequence[int]) -> None:
        """Store chunks with their vectors. `stored` are the keys of those chunks that the catalog already has.

        The document's label is part of the indexed words, but not of the embedded text. If each chunk's text began with
        the label, all vectors of a document would be alike.
        """
        vectors = embedded([indexed("", chunk.heading, chunk.text, chunk.placement) for chunk in chunks], self.embedder)
        keys = stored or documents.put(document, chunks)
        self.collections.vectors.add(documents.collection, document, keys, vectors)


def new_ingest(settings: Settings, collections: Collections, embedder: Embedder, read: Read) -> Ingest:
    """Build an ingest with the configured chunking."""
    cut, turns = chunking.Cut(settings.context.chunk_tokens), settings.data_folder / "ingest"
    return Ingest(collections, embedder, read, turns, cut, Tuner(collections, embedder), settings.context.ocr)


def recognition_of(settings: Settings) -> Recognition:
    return Recognition(settings.context.ocr, settings.context.ocr_s)


def source_name(path: Path, root: Path) -> str:
    """Return the name of a file in citations: its path below `root`, or its full path if it is elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
