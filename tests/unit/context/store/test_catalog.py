"""The catalog's file: its connections, and what an earlier version left."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.context.store.catalog import Catalog
from gateway.context.store.placements import Placement, placements, store_placements
from gateway.context.store.schema import VERSION
from gateway.context.store.stored_documents import Documents
from gateway.exchange import Chunk


def filled(catalog: Catalog) -> Documents:
    documents = Documents(catalog, catalog.create("", "handbook"))
    document = documents.stage("a.md", "")
    documents.put(
        document, [Chunk("1", "c", "a.md", "Fifteen days.", heading="Leave"), Chunk("2", "c", "a.md", "Pay.")]
    )
    documents.go_live(document)
    return documents


@pytest.mark.parametrize("version", [1, 7])
def test_words_that_an_earlier_version_kept_in_another_way_are_found(tmp_path: Path, version: int) -> None:
    documents = filled(Catalog(tmp_path / "catalog.sqlite3"))
    table = f"words_{documents.collection}"
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as database, database:
        for kind in ("places", "rarity", "words"):
            database.execute(f"DROP TABLE {kind}_{documents.collection}")
        database.execute(f"CREATE VIRTUAL TABLE {table} USING fts5(words, content='', tokenize='ascii')")
        database.execute(f"CREATE VIRTUAL TABLE rarity_{documents.collection} USING fts5vocab({table}, row)")
        database.execute(f"INSERT INTO {table} (rowid, words) VALUES (1, 'leav fifteen days'), (2, 'pay')")
        database.execute(f"PRAGMA user_version = {version}")

    again = Documents(Catalog(tmp_path / "catalog.sqlite3"), documents.collection)

    assert [key for key, _ in again.by_words("fifteen days of leave", 5, None)] == [1]
    (row,) = again.live()
    again.clear([row.key])
    assert again.by_words("pay", 5, None) == []
    with again.catalog.reading() as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_a_use_that_fails_leaves_no_half_transaction_to_the_next(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite3")
    id = catalog.create("", "handbook")
    try:
        with catalog.writing() as database:
            database.execute("UPDATE collections SET name = 'other'")
            raise ValueError
    except ValueError:
        pass

    found = catalog.collection(id)
    assert found is not None
    assert found.name == "handbook"


def test_a_file_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    catalog, other = Catalog(tmp_path / "catalog.sqlite3"), Catalog(tmp_path / "other.sqlite3")
    catalog.create("", "old")
    other.create("", "new")
    for opened in (catalog, other):
        opened.scrub()
    other.close()
    (tmp_path / "other.sqlite3").replace(catalog.file)

    assert [found.name for found in catalog.collections()] == ["new"]


def test_a_catalog_of_version_3_gets_what_it_lacks(tmp_path: Path) -> None:
    documents = filled(Catalog(tmp_path / "catalog.sqlite3"))
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as database, database:
        database.execute(f"DROP TABLE counts_{documents.collection}")
        database.execute("PRAGMA user_version = 3")

    again = Documents(Catalog(tmp_path / "catalog.sqlite3"), documents.collection)

    again.count_words()
    assert [key for key, _ in again.by_words("fifteen days of leave", 5, None)] == [1]


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_collection_without_texts_is_no_obstacle_to_an_upgrade(tmp_path: Path, version: int) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite3")
    documents, empty = filled(catalog), Documents(catalog, catalog.create("", "empty"))
    catalog.close()
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as database, database:
        database.execute(f"PRAGMA user_version = {version}")

    again = Catalog(tmp_path / "catalog.sqlite3")

    assert [key for key, _ in Documents(again, documents.collection).by_words("fifteen days", 5, None)] == [1]
    later = Documents(again, empty.collection)
    assert later.by_words("fifteen days", 5, None) == []
    document = later.stage("b.md", "")
    later.put(document, [Chunk("1", "c", "b.md", "Sixteen days.")])
    later.go_live(document)
    assert len(later.by_words("sixteen days", 5, None)) == 1


def test_which_document_a_chunk_is_of_is_known_as_chunks_come_and_documents_go(tmp_path: Path) -> None:
    catalog, elsewhere = (Catalog(tmp_path / "catalog.sqlite3") for _ in range(2))
    one = filled(catalog)
    catalog.open()
    other = filled(elsewhere)

    assert one.owners([1, 2, 3, 99, -1]) == {1: 1, 2: 1}
    assert Documents(catalog, other.collection).owners([1, 3, 4]) == {3: 2, 4: 2}
    elsewhere_one = Documents(elsewhere, one.collection)
    elsewhere_one.clear([1])
    assert one.owners([1, 2]) == {}


def test_a_file_that_was_replaced_has_owners_of_its_own(tmp_path: Path) -> None:
    catalog, other = Catalog(tmp_path / "catalog.sqlite3"), Catalog(tmp_path / "other.sqlite3")
    old, _, new = filled(catalog), filled(other), filled(other)
    assert old.owners([1, 2]) == {1: 1, 2: 1}
    for opened in (catalog, other):
        opened.scrub()
    other.close()

    (tmp_path / "other.sqlite3").replace(catalog.file)

    assert Documents(catalog, new.collection).owners([1, 2, 3, 4]) == {3: 2, 4: 2}


def test_an_empty_collection_has_no_tables_of_its_own_and_is_searched_all_the_same(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite3")
    with catalog.reading() as database:
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()

    documents = Documents(catalog, catalog.create("alice", "notes"))

    with catalog.reading() as database:
        assert database.execute("SELECT count(*) FROM sqlite_master").fetchone() == tables
    assert documents.by_words("leave", 5, None) == []
    assert documents.likeness("leave").shares(["days of leave"]) == [pytest.approx(0.5, abs=0.5)]
    documents.count_words()
    catalog.scrub(documents.collection)
    catalog.drop(documents.collection)


def test_a_connection_that_knew_a_collection_as_empty_finds_its_first_text(tmp_path: Path) -> None:
    catalog, other = Catalog(tmp_path / "catalog.sqlite3"), Catalog(tmp_path / "catalog.sqlite3")
    documents = Documents(catalog, catalog.create("", "handbook"))
    before = Documents(other, documents.collection)
    assert before.by_words("fifteen", 5, None) == []

    document = documents.stage("a.md", "")
    documents.put(document, [Chunk("1", "c", "a.md", "Fifteen days.")])
    documents.go_live(document)

    assert len(before.by_words("fifteen", 5, None)) == 1


def test_a_catalog_of_version_8_keeps_its_words_and_gets_room_for_placements(tmp_path: Path) -> None:
    documents = filled(Catalog(tmp_path / "catalog.sqlite3"))
    documents.catalog.close()
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as database, database:
        for name in ("placement", "placed"):
            database.execute(f"ALTER TABLE chunks DROP COLUMN {name}")
        # a word that no text has shows that the index is the same one
        database.execute(f"INSERT INTO words_{documents.collection} (rowid, words) VALUES (258, 'sentinel')")
        database.execute("PRAGMA user_version = 8")

    again = Documents(Catalog(tmp_path / "catalog.sqlite3"), documents.collection)

    assert [key for key, _ in again.by_words("sentinel", 5, None)] == [2]
    (row,) = again.live()
    assert placements(again.catalog, row.key) == {1: Placement("", ""), 2: Placement("", "")}
    store_placements(again.catalog, again.collection, row.key, {2: Placement("The salary in Norway", "digest")})
    assert [key for key, _ in again.by_words("salary", 5, None)] == [2]
    assert again.chunks([2])[2][0].placement == "The salary in Norway"
    again.clear([row.key])
    assert again.by_words("salary", 5, None) == again.by_words("fifteen", 5, None) == []
