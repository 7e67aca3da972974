"""Takes files into a collection: read, chunk, embed, store.

Adding is idempotent: a file whose bytes and whose way of being cut are known is left alone, a changed
one replaces what it was, and a broken one is reported while the others go in.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from gateway.context import chunk as chunking
from gateway.context import readers
from gateway.context.manifest import Entry, Manifest
from gateway.errors import CollectionError
from gateway.exchange import Chunk
from gateway.ports import Embedder, Vectors, VectorStore

BATCH = 32
"""Chunks that are embedded between two reports of progress."""

WRITTEN = 256
"""Chunks that are written at once: a gateway that reads the same store waits for no longer than that takes."""

PROBE = "The embedder that this collection was made with."
SAME_EMBEDDER = 0.999
"""The same model on another machine or in another batch gives almost the same vector."""


class Progress(Struct, frozen=True):
    """How far an ingest is: file number `file` of `files`, and `done` of its `chunks`."""

    source: str
    file: int
    files: int
    done: int = 0
    chunks: int = 0


class Added(Struct, frozen=True):
    """What became of a file. `state`: added, replaced, unchanged or failed, then with a `reason`."""

    source: str
    state: str
    chunks: int = 0
    reason: str = ""


class Ingest(Struct, frozen=True):
    """What adding files needs. Sources are named relative to `root` where they lie below it."""

    store: VectorStore
    embedder: Embedder
    manifest: Manifest
    root: Path
    chunk_tokens: int = 200

    def add(
        self, collection: str, paths: Iterable[Path], on_progress: Callable[[Progress], None] = lambda _progress: None
    ) -> list[Added]:
        """Take the files in, one after the other. Blocking; may be killed and called again.

        Raises `CollectionError` if the collection was made with another embedder.
        """
        self._distrust(collection)
        files = list(dict.fromkeys(path.resolve() for path in paths))
        reports = []
        for number, path in enumerate(files, 1):
            progress = Progress(source_name(path, self.root), number, len(files))
            on_progress(progress)
            reports.append(self._file(collection, path, progress, on_progress))
        return reports

    def _distrust(self, collection: str) -> None:
        """Forget what the manifest says if the store lost chunks: its folder was deleted, or it is another."""
        entries = self.manifest.entries(collection)
        if entries and self.store.count(collection) < sum(entry.chunks for entry in entries):
            self.manifest.forget(collection)

    def _file(self, collection: str, path: Path, progress: Progress, on_progress: Callable[[Progress], None]) -> Added:
        source = progress.source
        try:
            recipe = self._recipe(path)
            known = self.manifest.entry(collection, source)
            if known and known.recipe == recipe:
                return Added(source, "unchanged", known.chunks)
            chunks = self._chunks(collection, path, source)
        except CollectionError as error:
            return Added(source, "failed", reason=str(error))
        self._check_embedder(collection)
        vectors = self._vectors(chunks, progress, on_progress)
        # Embedding took the time; so the old chunks are missing for no longer than the writing takes.
        self.manifest.forget(collection, source)
        self.store.remove(collection, source)
        for first in range(0, len(chunks), WRITTEN):
            self.store.add(collection, chunks[first : first + WRITTEN], vectors[first : first + WRITTEN])
        self.manifest.put(collection, Entry(source, recipe, len(chunks)))
        return Added(source, "replaced" if known else "added", len(chunks))

    def _recipe(self, path: Path) -> str:
        """What the chunks of a file depend on, as a hash."""
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CollectionError(f"{path}: {error.strerror or error}") from error
        made_by = (chunking.VERSION, readers.VERSION, self.chunk_tokens, self.embedder.name, self.embedder.dimensions)
        return hashlib.sha256(f"{content} {made_by}".encode()).hexdigest()

    def _chunks(self, collection: str, path: Path, source: str) -> list[Chunk]:
        return chunking.chunk(
            readers.read(path),
            collection,
            source,
            self.embedder.count_tokens,
            self.chunk_tokens,
            self.embedder.window_tokens,
        )

    def _check_embedder(self, collection: str) -> None:
        """Vectors of two embedders must not be mixed: they look alike and mean nothing to each other."""
        import numpy as np

        probe = self.embedder.embed([PROBE])[0]
        before = np.frombuffer(self.manifest.probe(collection), np.float32)
        if not before.size:
            self.manifest.put_probe(collection, probe.astype(np.float32).tobytes())
        elif before.shape != probe.shape or float(before @ probe) < SAME_EMBEDDER:
            raise CollectionError(
                f"collection {collection!r} was made with another embedder; "
                f"run `foreword collections remove {collection}`, then add its files again"
            )

    def _vectors(self, chunks: Sequence[Chunk], progress: Progress, on_progress: Callable[[Progress], None]) -> Vectors:
        import numpy as np
        from msgspec.structs import replace

        rows = []
        for first in range(0, len(chunks), BATCH):
            texts = [chunking.embedding_text(chunk) for chunk in chunks[first : first + BATCH]]
            rows.append(self.embedder.embed(texts))
            on_progress(replace(progress, done=first + len(texts), chunks=len(chunks)))
        return np.concatenate(rows)


def source_name(path: Path, root: Path) -> str:
    """The name a file is cited by: its path below `root`, else its full path."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
