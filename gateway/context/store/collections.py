"""The catalog and the vector store together, with the rights of keys.

A key may read its own collections and the operator's. The configuration can limit the key to some of the operator's
collections. An admin key may read all collections. A collection that a key may not read is reported as missing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import time
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.context.store.catalog import DAY_S, Catalog, Collection
from gateway.context.store.distinct import distinct
from gateway.context.store.fusion import VECTORS_SHARE, Ranked, gathered, reordered
from gateway.context.store.relevance import COVERED, SPACED, Tuning, adds_to, relevance, signs_of
from gateway.context.store.stored_documents import Attributes, DocumentRow, Documents
from gateway.errors import CollectionError, RequestError, StoreDamaged, StoreUnreachable
from gateway.exchange import Chunk, cited_name
from gateway.file_search import FileSource
from gateway.filters import Filter
from gateway.ports import Reranker, VectorStore

if TYPE_CHECKING:
    from gateway.ports import Vectors

log = logging.getLogger("foreword.collections")

CANDIDATES = 240
"""The minimum number of results of each of the two searches. If only the search by words returns a chunk, the chunk
gets the lowest cosine of the search by vectors. With few results, this cosine would be too high. A chunk that is good
in both searches and best in neither would then rank too low.
"""
EXPIRED_DAYS = 30
"""The number of days for which clients can still see an expired collection. The collection is then deleted."""
RERANKED = 30
"""The maximum number of hits that a reranker scores. They are the best hits of the search."""

OPERATOR = ClientKey(name="", admin=True)
"""The key of commands on the machine. It owns the collections that these commands create. All keys share these
collections.
"""


class Hit(Struct, frozen=True):
    """A chunk that a search found, with its document."""

    chunk: Chunk
    document: DocumentRow

    @property
    def score(self) -> float:
        return self.chunk.score

    @property
    def source(self) -> FileSource:
        """The file of the chunk, with the id and the name that clients use. If the document was not uploaded, its name
        is also its id.
        """
        row = self.document
        name = cited_name(row.source)
        return FileSource(row.file or name, row.title or name, row.attributes)


class Wish(Struct, frozen=True):
    """A query, with the settings of its search. `weight` is the share of the vectors in a score. With None, the default
    share applies. `where` filters the documents.
    """

    text: str
    vector: Vectors
    limit: int
    where: Filter | None = None
    weight: float | None = None
    rerank: bool = True
    refers: bool = False
    """Whether the query is a message that refers to the message before it. The length of such a message is no sign of
    relevance.
    """
    addition: str = ""
    """If the query joins the last message to the message before it, this is the last message. Otherwise it is ""."""


class SearchResult(Struct, frozen=True):
    """The hits of a search, the best first, and an estimate from 0 to 1 of whether they answer the query."""

    hits: Sequence[Hit]
    relevance: float


class BothSearches(Struct, frozen=True):
    """The results of a collection's two searches, separately (`dense` and `words`) and merged (`ranked`)."""

    dense: Ranked
    words: Ranked
    ranked: Ranked


class Collections:
    """All collections. The methods block: call them on a worker thread and not on the event loop."""

    def __init__(
        self,
        catalog: Catalog,
        vectors: VectorStore,
        reranker: Reranker | None = None,
        reranked: Sequence[str] = ("*",),
    ) -> None:
        """`reranked` holds the names or ids of the collections whose hits `reranker` sorts. `*` stands for all
        collections.
        """
        self.catalog = catalog
        self.vectors = vectors
        self.reranker = reranker
        self._reranked_names = frozenset(reranked)
        self.damage = ""
        """The reason why the vectors cannot be read, for the operator. "" if they can be read."""

    def open(self) -> None:
        """Open the files and delete expired collections. Some stores take a second to open."""
        try:
            self.vectors.collections()
        except (StoreDamaged, StoreUnreachable) as error:
            self._report(error)
        self.catalog.open()
        self.sweep()

    def documents(self, collection: str) -> Documents:
        return Documents(self.catalog, collection)

    def readable(self, key: ClientKey, *, expired: bool = False) -> list[Collection]:
        """Return all collections that the key may read. With `expired`, expired collections are included. To get a
        single collection, use `find` or `by_id`, which read fewer rows.
        """
        catalog = self.catalog
        known = catalog.collections(expired=expired) if key.admin else catalog.of_owners(key.name, "", expired=expired)
        return [collection for collection in known if may_read(key, collection)]

    def by_id(self, id: str, key: ClientKey, *, expired: bool = False) -> Collection | None:
        """Return the collection with this id. The result is None if there is none, if the key may not read it, or if it
        has expired. With `expired`, an expired collection is returned too.
        """
        collection = self.catalog.collection(id)
        if collection is None or not may_read(key, collection) or (collection.has_expired and not expired):
            return None
        return collection

    def find(self, name: str, key: ClientKey) -> Collection | None:
        """Return the collection with this id, or else the newest with this name. The result is None if there is none.

        A name is searched for first among the key's own collections, then among the operator's. For an admin key, the
        name is then searched for among all collections.
        """
        collection = self.by_id(name, key) or self._own_or_shared(name, key)
        return self.catalog.latest(name) if collection is None and key.admin else collection

    def find_or_create(self, name: str, key: ClientKey) -> Collection:
        """Return the collection with this id, or else with this name among the key's own collections and the
        operator's. If there is none, a collection is created for the key.
        """
        collection = self.by_id(name, key) or self._own_or_shared(name, key)
        if collection is None:
            collection = self.catalog.collection(self.catalog.create(key.name, name))
        assert collection is not None
        return collection

    def _own_or_shared(self, name: str, key: ClientKey) -> Collection | None:
        if key.name and (own := self.catalog.latest(name, key.name)):
            return own
        if key.admin or not key.collections or name in key.collections:
            return self.catalog.latest(name, "")
        # the configuration may limit a key to ids of the operator's collections
        by_id = [self.by_id(id, key) for id in key.collections]
        named = [collection for collection in by_id if collection and collection.name == name]
        return max(named, key=lambda collection: collection.created, default=None)

    def look_up(self, collection: Collection, wish: Wish) -> list[Hit]:
        """Return the hits with the highest scores, the best first. Hits with low scores are not left out. Scores in
        different collections can be compared.
        """
        searches = self._searched(self.documents(collection.id), wish)
        return self._hits(collection, wish, searches, wish.limit) if searches else []

    def examine(self, collection: Collection, wish: Wish, least: float = 0.0) -> SearchResult:
        """Search as `look_up` does, and estimate whether the collection says anything about the query. If this estimate
        is below `least`, the result has no hits.
        """
        documents = self.documents(collection.id)
        searches = self._searched(documents, wish)
        if searches is None:
            return SearchResult([], 0.0)
        dense, words = searches.dense, searches.words
        first = _hits(documents, searches.ranked[:COVERED])
        signs = signs_of(
            wish.text,
            dense[0][1] if dense else None,
            words[0][1] if words else 0.0,
            documents.likeness(wish.text),
            best := [(hit.document.label, hit.chunk.heading, hit.chunk.text, hit.chunk.placement) for hit in first],
        )
        if wish.refers and signs.words:
            signs = replace(signs, words=max(signs.words, SPACED.most_words))
        if wish.addition and not adds_to(documents.likeness(wish.addition), wish.addition, best):
            return SearchResult([], 0.0)
        estimate = relevance(signs, tuning_of(collection))
        hits = self._hits(collection, wish, searches, wish.limit) if estimate >= least else []
        return SearchResult(hits, estimate)

    def look_up_all(
        self, named: Sequence[Collection], wishes: Sequence[Wish], *, score: float, relevance: float = 0.0
    ) -> list[Hit]:
        """Return the merged hits of all wishes in all collections.

        A collection is skipped for a wish if its relevance to the wish is below `relevance`. Hits with a score below
        `score` are left out.
        """
        hits: list[Hit] = []
        for collection in named:
            for wish in wishes:
                if relevance:
                    hits += self.examine(collection, wish, relevance).hits
                else:
                    hits += self.look_up(collection, wish)
            self.catalog.touch(collection)
        return merged([hit for hit in hits if hit.score >= score])

    def _searched(self, documents: Documents, wish: Wish) -> BothSearches | None:
        """Search by vectors and by words. The result is None if no document passes the filter."""
        matching = None
        if wish.where is not None:
            matching = [row.key for row in documents.live() if wish.where.holds(row.attributes)]
            if not matching:
                return None
        limit = max(CANDIDATES, 2 * wish.limit)
        weight = VECTORS_SHARE if wish.weight is None else wish.weight
        dense: Ranked = []
        # a search with the weight 0 is skipped
        if weight > 0:
            try:
                dense = self.vectors.search(documents.collection, wish.vector, limit, matching)
                self.damage = ""
            except (StoreDamaged, StoreUnreachable) as error:
                self._report(error)
                weight = 0.0
        words = documents.by_words(wish.text, limit, matching) if weight < 1 else []
        owners = documents.owners(key for key, _ in (*dense, *words))
        most = max(RERANKED, wish.limit)
        return BothSearches(dense, words, gathered(dense, words, weight, owners, most, complete=len(dense) < limit))

    def _hits(self, collection: Collection, wish: Wish, searches: BothSearches, limit: int) -> list[Hit]:
        """Return the best hits of both searches. A reranker sorts them if there is one for the collection."""
        documents, ranked = self.documents(collection.id), searches.ranked
        if self.reranker is None or not wish.rerank or not self._is_reranked(collection):
            return _hits(documents, ranked[:limit])
        return reranked(self.reranker, wish.text, _hits(documents, ranked[: max(RERANKED, limit)]))[:limit]

    def search(self, collection: str, vector: Vectors, limit: int) -> Sequence[Chunk]:
        """Return the chunks whose vectors are nearest. Words are not searched for. Satisfies `ports.Nearby` with the
        rights of the operator.
        """
        known = self.find(collection, OPERATOR)
        if known is None:
            raise CollectionError(f"there is no collection {collection!r}")
        wish = Wish("", vector, limit, weight=1.0, rerank=False)
        return [hit.chunk for hit in self.look_up(known, wish)]

    def clear(self, collection: str, documents: Sequence[int]) -> int:
        """Delete documents permanently. They first disappear from searches, and then their vectors and texts are
        deleted. Returns the number of deleted chunks.
        """
        if not documents:
            return 0
        known = self.documents(collection)
        known.retire(documents)
        self._remove_vectors(collection, documents)
        count = known.clear(documents)
        self.catalog.scrub(collection)
        return count

    def drop(self, collection: str) -> None:
        """Delete a collection permanently. The collection is first marked as expired, so that `sweep` can complete an
        interrupted deletion.
        """
        self.catalog.change(collection, active=0, expires_days=1)
        self._remove_vectors(collection)
        self.catalog.drop(collection)

    def sweep(self) -> None:
        """Delete the documents of expired collections. Clients can still see an expired collection for `EXPIRED_DAYS`
        days. Then the collection is deleted too.
        """
        for collection in self.catalog.expired():
            if collection.expires < time() - EXPIRED_DAYS * DAY_S:
                self.drop(collection.id)
            elif self.catalog.empty(collection.id):
                self._remove_vectors(collection.id)

    def set_attributes(self, collection: str, source: str, attributes: Attributes) -> None:
        documents = self.documents(collection)
        row = documents.live_at(source)
        if row is not None:
            documents.set_attributes(row.key, attributes)

    def close(self) -> None:
        self.vectors.close()
        self.catalog.close()

    def _remove_vectors(self, collection: str, documents: Sequence[int] | None = None) -> None:
        try:
            self.vectors.remove(collection, documents)
        except StoreDamaged as error:
            # not raised, since the texts must be deleted in any case
            self._report(error)

    def _report(self, error: StoreDamaged | StoreUnreachable) -> None:
        """Log that the vectors cannot be read. The same reason is logged only once, and not at each search."""
        if self.damage != str(error):
            self.damage = str(error)
            log.error("%s", error)

    def _is_reranked(self, collection: Collection) -> bool:
        return not self._reranked_names.isdisjoint(("*", collection.name, collection.id))


def reranked(reranker: Reranker, query: str, hits: Sequence[Hit]) -> list[Hit]:
    """Put the first `RERANKED` hits into the order of the reranker. The other hits follow as before. If the reranker
    fails, all hits stay as they are.

    The scores of the search stay in descending order: the new first hit gets the highest score, and so on. These scores
    are used, and not the reranker's, since they are compared with the minimum score and with the scores of hits in
    other collections.
    """
    first = hits[:RERANKED]
    if len(first) < 2:
        return list(hits)
    try:
        scores = reranker.scores(query, [hit.chunk.text for hit in first])
    except RequestError as error:
        log.warning("not reranked: %s", error.message)
        return list(hits)
    order = reordered([hit.score for hit in first], scores, reranker.weight)
    dealt = zip([first[place] for place in order], first, strict=True)
    return [*(replace(hit, chunk=replace(hit.chunk, score=at.score)) for hit, at in dealt), *hits[RERANKED:]]


def merged(hits: Sequence[Hit]) -> list[Hit]:
    """Merge the hits of several searches, the best first. Each chunk occurs once, with its best score. A chunk that
    repeats a better chunk is left out.
    """
    best: dict[tuple[str, str], Hit] = {}
    for hit in sorted(hits, key=lambda hit: -hit.score):
        best.setdefault((hit.chunk.collection, hit.chunk.id), hit)
    distinct_ids = {id(chunk) for chunk in distinct([hit.chunk for hit in best.values()])}
    return [hit for hit in best.values() if id(hit.chunk) in distinct_ids]


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
    """Return the hits for those results that are live chunks, in the same order."""
    chunks = documents.chunks(key for key, _ in ranked)
    return [Hit(replace(chunks[key][0], score=score), chunks[key][1]) for key, score in ranked if key in chunks]
