"""Stores lines that place chunks in their documents. Such a line is part of the indexed words of its chunk."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.context.store import lexical
from gateway.context.store.catalog import Catalog
from gateway.context.store.index_text import indexed
from gateway.errors import DocumentGone


class Placement(Struct, frozen=True):
    """A line that places a chunk in its document, and the digest of the question that it answers.

    If the answer could not be used, the line is "". If no model was asked, the digest is "" too.
    """

    line: str
    digest: str


def placements(catalog: Catalog, document: int) -> dict[int, Placement]:
    """Return the placement of each chunk of a document, by the key of the chunk, in order."""
    with catalog.reading() as database:
        query = "SELECT key, placement, placed FROM chunks WHERE document = ? ORDER BY key"
        return {key: Placement(line, digest) for key, line, digest in database.execute(query, (document,))}


def store_placements(catalog: Catalog, collection: str, document: int, answers: Mapping[int, Placement]) -> None:
    """Give chunks of a live document their placements, by the keys of the chunks. Raises `DocumentGone` if the document
    is not live any more.
    """
    with catalog.writing() as database:
        live = "SELECT label FROM documents WHERE key = ? AND collection = ? AND state = 'live'"
        row = database.execute(live, (document, collection)).fetchone()
        if row is None:
            raise DocumentGone("The document was deleted or replaced while its chunks were being placed.")
        before, after = [], []
        query = "SELECT key, heading, text, placement FROM chunks WHERE document = ?"
        for key, heading, text, line in database.execute(query, (document,)):
            if key in answers and answers[key].line != line:
                before.append((key, indexed(row[0], heading, text, line)))
                after.append((key, indexed(row[0], heading, text, answers[key].line)))
        lexical.remove(database, collection, before)
        lexical.add(database, collection, after)
        values = [(answer.line, answer.digest, key) for key, answer in answers.items()]
        database.executemany("UPDATE chunks SET placement = ?, placed = ? WHERE key = ?", values)


def mark_placed(catalog: Catalog, document: int, digests: Sequence[str]) -> None:
    """Store the digests of the placements with which a document's chunks were put. There is one digest for each chunk,
    in order.
    """
    if not any(digests):
        return
    with catalog.writing() as database:
        keys = [
            key for (key,) in database.execute("SELECT key FROM chunks WHERE document = ? ORDER BY key", (document,))
        ]
        # zip stops early if the document was deleted in the meantime
        database.executemany("UPDATE chunks SET placed = ? WHERE key = ?", zip(digests, keys, strict=False))
