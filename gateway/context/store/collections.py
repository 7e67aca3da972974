"""The collections as one thing: the catalog and the vectors behind it, for whoever may read or change them.

Who may: a key its own collections, and the operator's, where it is not confined to others; an admin key all.
What somebody may not read does not exist for them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.context.store.catalog import Catalog, Collection
from gateway.context.store.distinct import distinct
from gateway.context.store.fusion import Ranked, Tuning, gathered, reordered
from gateway.context.store.stored_documents import Attributes, DocumentRow, Documents
from gateway.errors import CollectionError, RequestError
from gateway.exchange import Chunk, ClientKey
from gateway.file_search import FileSource
from gateway.filters import Filter
from gateway.ports import Reranker, VectorStore

if TYPE_CHECKING:
    from gateway.ports import Vectors

log = logging.getLogger("foreword.collections")

CANDIDATES = 240
"""How many each of the two searches gives at the least. What only one of them gives is scored as if the other had
it last, so with few candidates a chunk that is good in both, and the best in neither, is misjudged."""
RERANKED = 30
"""How many of the best are looked at again, where there is a reranker."""

OPERATOR = ClientKey(name="", admin=True)
"""Whoever runs commands on the machine. What they make is shared."""


class Hit(Struct, frozen=True):
    """A chunk that a search found, and the document that it is of."""

    chunk: Chunk
    document: DocumentRow

    @property
    def score(self) -> float:
        return self.chunk.score

    @property
    def source(self) -> FileSource:
        """The file that it is of, as clients know it; what was not uploaded has its source for an id."""
        row = self.document
        return FileSource(row.file or row.source, row.title or row.source, row.attributes)


class Wish(Struct, frozen=True):
    """What a search is to find: `weight` is the vectors' share (None: as learned), `where` a filter."""

    text: str
    vector: Vectors
    limit: int
    where: Filter | None = None
    weight: float | None = None
    rerank: bool = True


class Collections:
    """Blocking: on the event loop only through a worker thread."""

    def __init__(
        self,
        catalog: Catalog,
        vectors: VectorStore,
        reranker: Reranker | None = None,
        reranked: Sequence[str] = ("*",),
    ) -> None:
        """`reranked`: the names or ids of the collections that `reranker` puts in order; `*`: all."""
        self.catalog = catalog
        self.vectors = vectors
        self.reranker = reranker
        self._reranked_names = frozenset(reranked)

    def open(self) -> None:
        """Get ready, which for some stores takes a second, and delete what is over."""
        self.vectors.collections()
        self.catalog.open()
        self.sweep()

    def documents(self, collection: str) -> Documents:
        return Documents(self.catalog, collection)

    def readable(self, key: ClientKey) -> list[Collection]:
        return [found for found in self.catalog.collections() if may_read(key, found)]

    def find(self, name: str, key: ClientKey) -> Collection | None:
        """By its id, else by its name: the key's own before the operator's, and the latest of several."""
        known = self.readable(key)
        for found in known:
            if found.id == name:
                return found
        named = [found for found in known if found.name == name]
        own = [found for found in named if found.owner and found.owner == key.name]
        best = own or named
        return best[-1] if best else None

    def find_or_create(self, name: str, key: ClientKey) -> Collection:
        found = self.find(name, key)
        if found is None:
            found = self.catalog.collection(self.catalog.create(key.name, name))
        assert found is not None
        return found

    def look_up(self, collection: Collection, wish: Wish) -> list[Hit]:
        """The best chunks, best first, whatever their score. The scores of several collections can be compared."""
        documents = self.documents(collection.id)
        wanted = None
        if wish.where is not None:
            wanted = [row.key for row in documents.live() if wish.where.holds(row.attributes)]
            if not wanted:
                return []
        weight = tuning_of(collection).weight if wish.weight is None else wish.weight
        ranked = self._ranked(documents, wish, weight, wanted)
        if self.reranker is None or not wish.rerank or not self._is_reranked(collection):
            return _hits(documents, ranked[: wish.limit])
        return reranked(self.reranker, wish.text, _hits(documents, ranked[: max(RERANKED, wish.limit)]))[: wish.limit]

    def look_up_all(
        self, named: Sequence[Collection], wishes: Sequence[Wish], least: Callable[[Collection], float]
    ) -> list[Hit]:
        """What any of the wishes finds in any of the collections that is no worse than its `least`, best first: each
        chunk once, and none that says what a better one has said."""
        best: dict[tuple[str, str], Hit] = {}
        for collection in named:
            floor = least(collection)
            for hit in (hit for wish in wishes for hit in self.look_up(collection, wish)):
                place = collection.id, hit.chunk.id
                if hit.score >= floor and (place not in best or best[place].score < hit.score):
                    best[place] = hit
            self.catalog.touch(collection.id)
        ranked = sorted(best.values(), key=lambda hit: -hit.score)
        kept = {id(chunk) for chunk in distinct([hit.chunk for hit in ranked])}
        return [hit for hit in ranked if id(hit.chunk) in kept]

    def best(self, documents: Documents, wish: Wish, weight: float) -> float:
        """The best score of a search with this weight; 0 if it finds nothing."""
        ranked = self._ranked(documents, wish, weight, None)
        return ranked[0][1] if ranked else 0.0

    def _ranked(self, documents: Documents, wish: Wish, weight: float, wanted: Sequence[int] | None) -> Ranked:
        limit = max(CANDIDATES, 2 * wish.limit)
        # without their share a search need not be made
        dense = self.vectors.search(documents.collection, wish.vector, limit, wanted) if weight > 0 else []
        words = documents.by_words(wish.text, limit, wanted) if weight < 1 else []
        owners = documents.owners(key for key, _ in (*dense, *words))
        most = max(RERANKED, wish.limit)
        return gathered(dense, words, weight, owners, most, complete=len(dense) < limit)

    def search(self, collection: str, vector: Vectors, limit: int) -> Sequence[Chunk]:
        """Satisfies `ports.Nearby`, for the operator's own use: the nearest by their vectors alone."""
        found = self.find(collection, OPERATOR)
        if found is None:
            raise CollectionError(f"there is no collection {collection!r}")
        wish = Wish("", vector, limit, weight=1.0, rerank=False)
        return [hit.chunk for hit in self.look_up(found, wish)]

    def clear(self, collection: str, documents: Sequence[int]) -> int:
        """Delete documents for good: from searches first, then their vectors, then their texts."""
        known = self.documents(collection)
        known.retire(documents)
        self.vectors.remove(collection, documents)
        count = known.clear(documents)
        if documents:
            self.catalog.scrub(collection)
        return count

    def drop(self, collection: str) -> None:
        """Delete a collection for good."""
        self.vectors.remove(collection)
        self.catalog.drop(collection)

    def sweep(self) -> None:
        """Delete the collections that are over."""
        for found in self.catalog.expired():
            self.drop(found.id)

    def set_attributes(self, collection: str, source: str, attributes: Attributes) -> None:
        documents = self.documents(collection)
        row = documents.live_at(source)
        if row is not None:
            documents.set_attributes(row.key, attributes)

    def close(self) -> None:
        self.vectors.close()
        self.catalog.close()

    def _is_reranked(self, collection: Collection) -> bool:
        return not self._reranked_names.isdisjoint(("*", collection.name, collection.id))


def reranked(reranker: Reranker, query: str, hits: Sequence[Hit]) -> list[Hit]:
    """The hits with the first `RERANKED` in the reranker's order; as they are where it fails.

    The scores stay the search's, dealt out anew: a floor, and another collection's hits, are measured by these.
    """
    first = hits[:RERANKED]
    if len(first) < 2:
        return list(hits)
    try:
        scores = reranker.scores(query, [hit.chunk.text for hit in first])
    except RequestError as error:
        log.warning("the order stays as the search found it: %s", error.message)
        return list(hits)
    order = reordered([hit.score for hit in first], scores, reranker.weight)
    dealt = zip([first[place] for place in order], first, strict=True)
    return [*(replace(hit, chunk=replace(hit.chunk, score=at.score)) for hit, at in dealt), *hits[RERANKED:]]


def tuning_of(collection: Collection) -> Tuning:
    return msgspec.json.decode(collection.tuning, type=Tuning) if collection.tuning else Tuning()


def may_read(key: ClientKey, collection: Collection) -> bool:
    if key.admin or (collection.owner and collection.owner == key.name):
        return True
    allowed = not key.collections or not {collection.name, collection.id}.isdisjoint(key.collections)
    return not collection.owner and allowed


def may_change(key: ClientKey, collection: Collection) -> bool:
    return key.admin or bool(collection.owner and collection.owner == key.name)


def _hits(documents: Documents, ranked: Ranked) -> list[Hit]:
    """The live chunks of those that were found, in their order."""
    found = documents.chunks(key for key, _ in ranked)
    return [Hit(replace(found[key][0], score=score), found[key][1]) for key, score in ranked if key in found]
