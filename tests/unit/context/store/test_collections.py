"""Whose collections are whose, how they are named, when they end, and what a reranker changes."""

from collections.abc import Sequence
from time import time

import pytest

from gateway.ask import ClientKey
from gateway.context.store.catalog import DAY_S, Catalog, Collection
from gateway.context.store.collections import EXPIRED_DAYS, OPERATOR, Collections, Wish, may_change, may_read
from gateway.exchange import Chunk
from tests.doubles.bag_embedder import BagEmbedder

MINE = Collection("vs_mine", "alice", "notes", 0, 0)
SHARED = Collection("vs_shared", "", "handbook", 0, 0)


@pytest.mark.parametrize(
    ("key", "collection", "reads", "changes"),
    [
        (ClientKey("alice"), MINE, True, True),
        (ClientKey("bob"), MINE, False, False),
        (ClientKey("bob", admin=True), MINE, True, True),
        (ClientKey("bob", collections=("notes", "vs_mine")), MINE, False, False),
        (ClientKey("alice", collections=("handbook",)), MINE, True, True),
        (ClientKey("bob"), SHARED, True, False),
        (ClientKey("bob", collections=("handbook",)), SHARED, True, False),
        (ClientKey("bob", collections=("vs_shared",)), SHARED, True, False),
        (ClientKey("bob", collections=("other",)), SHARED, False, False),
        (ClientKey(""), MINE, False, False),
        (OPERATOR, SHARED, True, True),
    ],
)
def test_a_key_reads_and_changes_what_it_may(
    key: ClientKey, collection: Collection, reads: bool, changes: bool
) -> None:
    assert (may_read(key, collection), may_change(key, collection)) == (reads, changes)


def test_a_name_is_the_keys_own_before_the_operators_and_an_id_is_always_meant(collections: Collections) -> None:
    shared = collections.catalog.create("", "notes")
    first, latest = collections.catalog.create("alice", "notes"), collections.catalog.create("alice", "notes")

    def found(name: str, key: ClientKey) -> str | None:
        known = collections.find(name, key)
        return known.id if known else None

    assert found("notes", ClientKey("alice")) == latest
    assert found("notes", ClientKey("bob")) == shared
    assert (found(first, ClientKey("alice")), found(first, ClientKey("bob"))) == (first, None)


def test_a_key_that_is_confined_to_an_id_finds_it_by_name_too(collections: Collections) -> None:
    first, second = (collections.catalog.create("", "notes") for _ in range(2))

    def found(*allowed: str) -> str | None:
        known = collections.find("notes", ClientKey("bob", collections=allowed))
        return known.id if known else None

    assert (found(first), found(second), found("other")) == (first, second, None)


def test_the_operator_adds_to_its_own_collection_and_not_to_a_clients_of_the_same_name(
    collections: Collections,
) -> None:
    theirs = collections.catalog.create("alice", "notes")

    assert collections.find("notes", OPERATOR) == collections.catalog.collection(theirs)
    made = collections.find_or_create("notes", OPERATOR)
    assert (made.owner, made.id != theirs) == ("", True)
    assert collections.find("notes", OPERATOR) == made
    assert collections.find_or_create(theirs, OPERATOR).id == theirs


def test_finding_a_collection_reads_no_other(collections: Collections) -> None:
    """The steps that SQLite takes do not become more with the collections."""
    key = ClientKey("user3")

    def steps() -> int:
        taken = 0

        def step() -> int:
            nonlocal taken
            taken += 1
            return 0

        with collections.catalog.reading() as database:
            database.set_progress_handler(step, 1)
        store = collections.find("notes", key)
        assert store is not None
        assert collections.find(store.id, key) == store
        assert collections.find("unknown", key) is None
        with collections.catalog.reading() as database:
            database.set_progress_handler(None, 1)
        return taken

    for number in range(5):
        collections.catalog.create(f"user{number}", "notes")
    few = steps()
    with collections.catalog.writing() as database:
        rows = [(f"vs_{number}", f"user{number}", "notes") for number in range(5, 500)]
        query = "INSERT INTO collections (id, owner, name, created, active) VALUES (?, ?, ?, 1, 1)"
        database.executemany(query, rows)

    assert steps() <= few + 5


def fill(collections: Collections, id: str, *texts: str) -> None:
    documents = collections.documents(id)
    document = documents.stage("a.md", "")
    keys = documents.put(document, [Chunk(str(place), id, "a.md", text) for place, text in enumerate(texts)])
    collections.vectors.add(id, document, keys, BagEmbedder().embed(texts))
    documents.go_live(document)


def test_a_collection_that_nobody_uses_ends_and_one_that_is_used_does_not(collections: Collections) -> None:
    old, used = (collections.catalog.create("alice", name, expires_days=1) for name in ("old", "used"))
    for id in (old, used):
        fill(collections, id, "Fifteen days.")
        collections.catalog.change(id, active=1)
    known = collections.catalog.collection(used)
    assert known is not None
    collections.catalog.touch(known)

    assert [found.id for found in collections.readable(ClientKey("alice"))] == [used]
    collections.sweep()

    assert collections.catalog.collection(old) is None
    assert collections.vectors.collections() == [used]
    known = collections.catalog.collection(used)
    assert known is not None
    assert known.expires == known.active + DAY_S


def test_an_expired_collection_is_shown_for_a_month_without_its_documents(collections: Collections) -> None:
    id = collections.catalog.create("alice", "old", expires_days=1)
    fill(collections, id, "Fifteen days.")
    collections.catalog.change(id, active=int(time()) - 2 * DAY_S)
    alice = ClientKey("alice")

    collections.sweep()

    assert collections.readable(alice) == []
    assert collections.by_id(id, alice) is None
    (shown,) = collections.readable(alice, expired=True)
    assert (shown.id, shown.has_expired, shown.chunks) == (id, True, 0)
    assert collections.by_id(id, ClientKey("bob"), expired=True) is None
    assert collections.vectors.collections() == []
    assert collections.documents(id).by_words("fifteen", 1, None) == []

    collections.catalog.change(id, active=int(time()) - (EXPIRED_DAYS + 2) * DAY_S)
    collections.sweep()

    assert collections.readable(alice, expired=True) == []


class ByLength:
    """A reranker to whom the longest text is the best."""

    weight = 1.0

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        return [len(text) / 100 for text in texts]


def test_a_reranker_has_the_last_word_unless_it_is_not_wanted(collections: Collections) -> None:
    id = collections.catalog.create("", "handbook")
    fill(collections, id, "leave", "leave and very much more about other things")
    collection = collections.catalog.collection(id)
    assert collection is not None
    wish = Wish("leave", BagEmbedder().embed(["leave"])[0], 2)
    plain = [hit.chunk.text for hit in collections.look_up(collection, wish)]

    reranking = Collections(collections.catalog, collections.vectors, ByLength())
    reranked = [hit.chunk.text for hit in reranking.look_up(collection, wish)]

    assert plain[0] == "leave"
    assert reranked == plain[::-1]
    unranked = Wish(wish.text, wish.vector, 2, rerank=False)
    assert [hit.chunk.text for hit in reranking.look_up(collection, unranked)] == plain
    elsewhere = Collections(collections.catalog, collections.vectors, ByLength(), ["other"])
    assert [hit.chunk.text for hit in elsewhere.look_up(collection, wish)] == plain


def test_a_catalog_that_was_deleted_while_it_was_open_is_made_anew(catalog: Catalog) -> None:
    catalog.create("", "handbook")
    for file in catalog.file.parent.glob("catalog.sqlite3*"):
        file.unlink()

    assert catalog.collections() == []


@pytest.fixture
def catalog(collections: Collections) -> Catalog:
    return collections.catalog
