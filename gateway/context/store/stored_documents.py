"""Stores the documents and chunks of a collection. The chunks of a document are stored in batches. Then the whole
document becomes live at once.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from gateway.context.store import lexical
from gateway.context.store.catalog import Catalog
from gateway.context.store.chunk_owners import groups, marks
from gateway.context.store.index_text import indexed, label_of
from gateway.errors import DocumentGone
from gateway.exchange import Chunk

Attributes = Mapping[str, str | float | bool]

COLUMNS = "key, source, file, recipe, state, attributes, title, label"
CHUNK_COLUMNS = ("id", "start", "end", "heading", "page", "tokens", "text", "placement")


class DocumentRow(Struct, frozen=True):
    """A document. `recipe` is a hash of everything that the document's chunks depend on. `state` is `staged`, `live` or
    `retired`.

    `label` is put before each chunk of the document in the word index. Documents of earlier versions have the label "".
    """

    key: int
    source: str
    file: str
    recipe: str
    state: str
    attributes: Attributes
    title: str
    label: str = ""


class Documents:
    """The documents of one collection."""

    def __init__(self, catalog: Catalog, collection: str) -> None:
        self.catalog = catalog
        self.collection = collection

    def live(self) -> list[DocumentRow]:
        return self._rows("state = 'live' ORDER BY source")

    def live_at(self, source: str) -> DocumentRow | None:
        return next(iter(self._rows("state = 'live' AND source = ?", source)), None)

    def at(self, source: str) -> list[DocumentRow]:
        """Return all documents of a source, whatever their state."""
        return self._rows("source = ?", source)

    def leftovers(self) -> list[DocumentRow]:
        """Return the documents that are not live. Such a document was staged and never finished, or was replaced and
        not deleted yet.
        """
        return self._rows("state != 'live'")

    def stage(
        self, source: str, recipe: str, *, title: str = "", file: str = "", attributes: Attributes | None = None
    ) -> int:
        """Create a staged document, and return its key. Searches do not find a staged document. Raises `DocumentGone`
        if the collection was deleted.
        """
        with self.catalog.writing() as database:
            inserted = database.execute(
                "INSERT INTO documents (collection, source, file, recipe, state, attributes, title, label) "
                "SELECT id, ?, ?, ?, 'staged', ?, ?, ? FROM collections WHERE id = ?",
                (source, file, recipe, _json(attributes or {}), title, label_of(title or source), self.collection),
            )
            if not inserted.rowcount or inserted.lastrowid is None:
                raise DocumentGone("The collection was deleted while a document was being added.")
            return inserted.lastrowid

    def put(self, document: int, chunks: Sequence[Chunk]) -> list[int]:
        """Add chunks to a staged document, and return the keys of the chunks. Raises `DocumentGone` if the document was
        deleted in the meantime.
        """
        with self.catalog.writing() as database:
            row = database.execute("SELECT label FROM documents WHERE key = ?", (document,)).fetchone()
            if row is None:
                raise DocumentGone("The document was deleted while it was being added.")
            keys = []
            for chunk in chunks:
                inserted = database.execute(
                    f"INSERT INTO chunks (document, {', '.join(CHUNK_COLUMNS)}) VALUES (?, {marks(CHUNK_COLUMNS)})",
                    (document, *(getattr(chunk, name) for name in CHUNK_COLUMNS)),
                )
                assert inserted.lastrowid is not None
                keys.append(inserted.lastrowid)
            texts = [indexed(row[0], chunk.heading, chunk.text, chunk.placement) for chunk in chunks]
            lexical.add(database, self.collection, zip(keys, texts, strict=True))
            return keys

    def keys(self, document: int) -> list[int]:
        """Return the keys of a document's chunks, in order."""
        with self.catalog.reading() as database:
            rows = database.execute("SELECT key FROM chunks WHERE document = ? ORDER BY key", (document,))
            return [key for (key,) in rows]

    def staged(self, document: int) -> int:
        """Return the number of stored chunks of a document."""
        with self.catalog.reading() as database:
            return _size(database, document)

    def go_live(self, document: int) -> None:
        """Make a staged document live. It replaces the live document of the same source. Raises `DocumentGone` if the
        document was deleted in the meantime.
        """
        with self.catalog.writing() as database:
            replaced = database.execute(
                "SELECT key FROM documents WHERE collection = ? AND state = 'live' "
                "AND source = (SELECT source FROM documents WHERE key = ?)",
                (self.collection, document),
            ).fetchall()
            self._retire(database, [key for (key,) in replaced])
            if not database.execute("UPDATE documents SET state = 'live' WHERE key = ?", (document,)).rowcount:
                raise DocumentGone("The document was deleted while it was being added.")
            self._count(database, _size(database, document))

    def retire(self, documents: Sequence[int]) -> None:
        """Hide documents from searches."""
        with self.catalog.writing() as database:
            self._retire(database, documents)

    def clear(self, documents: Sequence[int]) -> int:
        """Delete documents with their chunks and words, and return the number of deleted chunks. The vectors of the
        documents must be deleted before this call.
        """
        count = 0
        for document in documents:
            with self.catalog.writing() as database:
                rows = database.execute(
                    "SELECT c.key, d.label, c.heading, c.text, c.placement "
                    "FROM chunks c JOIN documents d ON d.key = c.document "
                    "WHERE c.document = ?",
                    (document,),
                )
                texts = [(key, indexed(*parts)) for key, *parts in rows]
                self._retire(database, [document])
                if texts:
                    lexical.remove(database, self.collection, texts)
                database.execute("DELETE FROM chunks WHERE document = ?", (document,))
                database.execute("DELETE FROM documents WHERE key = ?", (document,))
            count += len(texts)
        return count

    def set_attributes(self, document: int, attributes: Attributes) -> None:
        with self.catalog.writing() as database:
            database.execute("UPDATE documents SET attributes = ? WHERE key = ?", (_json(attributes), document))

    def count(self) -> int:
        """Return the number of chunks of live documents."""
        with self.catalog.reading() as database:
            row = database.execute("SELECT chunks FROM collections WHERE id = ?", (self.collection,)).fetchone()
            return row[0] if row else 0

    def by_words(self, query: str, limit: int, documents: Sequence[int] | None) -> list[tuple[int, float]]:
        """Search by words. See `lexical.nearest`."""
        with self.catalog.reading() as database:
            known = self.catalog.common_words, self.catalog.owners
            return lexical.nearest(database, self.collection, query, limit, documents, *known)

    def likeness(self, query: str) -> lexical.Likeness:
        """Return the weights of a query's words in this collection."""
        with self.catalog.reading() as database:
            return lexical.likeness(database, self.collection, query, self.catalog.common_words)

    def count_words(self) -> None:
        """Store the counts of common words. See `lexical.count`."""
        with self.catalog.writing() as database:
            lexical.count(database, self.collection)

    def owners(self, keys: Iterable[int]) -> dict[int, int]:
        """Map the key of each chunk to the key of its live document. Chunks without a live document are left out."""
        with self.catalog.reading() as database:
            return self.catalog.owners.live(database, self.collection, list(keys))

    def chunks(self, keys: Iterable[int]) -> dict[int, tuple[Chunk, DocumentRow]]:
        """Return (chunk, document) for each key. A key is left out if no live document has a chunk with this key."""
        chunks: dict[int, tuple[Chunk, DocumentRow]] = {}
        with self.catalog.reading() as database:
            for group in groups(list(keys)):
                rows = database.execute(
                    f"SELECT {', '.join('d.' + name for name in COLUMNS.split(', '))}, "
                    f"c.key, {', '.join('c.' + name for name in CHUNK_COLUMNS)} "
                    # CROSS JOIN starts from the chunks; otherwise SQLite would read all chunks of each document
                    "FROM chunks c CROSS JOIN documents d ON d.key = c.document "
                    f"WHERE d.collection = ? AND d.state = 'live' AND c.key IN ({marks(group)})",
                    (self.collection, *group),
                )
                for row in rows:
                    document = _row(row[:8])
                    chunks[row[8]] = (_chunk(self.collection, document, row[9:]), document)
        return chunks

    def of(self, document: int) -> list[Chunk]:
        """Return all chunks of a live document, in order."""
        keys = self.keys(document)
        chunks = self.chunks(keys)
        return [chunks[key][0] for key in keys if key in chunks]

    def sample(self, count: int) -> list[tuple[int, Chunk]]:
        """Return about `count` chunks with their keys, at even distances in the collection. If the collection does not
        change, each call returns the same chunks.
        """
        with self.catalog.reading() as database:
            query = (
                "SELECT c.key FROM chunks c JOIN documents d ON d.key = c.document "
                "WHERE d.collection = ? AND d.state = 'live' ORDER BY c.key"
            )
            keys = [key for (key,) in database.execute(query, (self.collection,))]
        chosen = keys[:: max(1, len(keys) // max(1, count))][:count]
        return [(key, chunk) for key, (chunk, _) in sorted(self.chunks(chosen).items())]

    def _retire(self, database: sqlite3.Connection, documents: Sequence[int]) -> None:
        for document in documents:
            was_live = "UPDATE documents SET state = 'retired' WHERE key = ? AND state = 'live'"
            if database.execute(was_live, (document,)).rowcount:
                self._count(database, -_size(database, document))
        for keys in groups(documents):
            database.execute(f"UPDATE documents SET state = 'retired' WHERE key IN ({marks(keys)})", keys)

    def _count(self, database: sqlite3.Connection, change: int) -> None:
        """Change the stored number of live chunks. Every ingest needs this number, and counting takes longer in a
        larger collection.
        """
        database.execute("UPDATE collections SET chunks = chunks + ? WHERE id = ?", (change, self.collection))

    def _rows(self, condition: str, *values: Any) -> list[DocumentRow]:
        query = f"SELECT {COLUMNS} FROM documents WHERE collection = ? AND {condition}"
        with self.catalog.reading() as database:
            return [_row(row) for row in database.execute(query, (self.collection, *values))]


def _size(database: sqlite3.Connection, document: int) -> int:
    size: int = database.execute("SELECT count(*) FROM chunks WHERE document = ?", (document,)).fetchone()[0]
    return size


def _json(attributes: Attributes) -> str:
    return json.dumps(attributes, ensure_ascii=False)


def _row(row: tuple[Any, ...]) -> DocumentRow:
    key, source, file, recipe, state, attributes, title, label = row
    return DocumentRow(key, source, file, recipe, state, json.loads(attributes), title, label)


def _chunk(collection: str, document: DocumentRow, row: tuple[Any, ...]) -> Chunk:
    id, start, end, heading, page, tokens, text, placement = row
    source = document.title or document.source
    return Chunk(id, collection, source, text, start, end, heading, page, tokens, placement=placement)
