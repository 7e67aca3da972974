import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.context.store.catalog import Catalog
from gateway.context.store.collections import Collections
from gateway.context.store.exact import ExactStore
from gateway.context.store.index_text import indexed, label_of
from gateway.context.store.stored_documents import Documents
from gateway.exchange import Chunk


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("contracts/acme-2024_final.pdf", "acme 2024 final"),
        ("C:\\files\\员工手册.docx", "员工手册"),
        ("README", "README"),
        ("mail about version 2.10", "mail about version 2 10"),
        ("a" * 300 + ".md", "a" * 80),
        (".md", ""),
        ("", ""),
    ],
)
def test_the_label_of_a_document_is_the_words_of_its_files_name(name: str, label: str) -> None:
    assert label_of(name) == label


def test_a_label_stands_before_heading_and_text_unless_the_heading_says_it() -> None:
    assert indexed("acme", "Terms > Notice", "Six weeks.") == "acme\nTerms > Notice\nSix weeks."
    assert indexed("acme", "Acme > Notice", "Six weeks.") == "Acme > Notice\nSix weeks."
    assert indexed("", "", "Six weeks.") == "Six weeks."


@pytest.fixture
def contracts(tmp_path: Path) -> Documents:
    """Three contracts that differ only in their names."""
    catalog = Catalog(tmp_path / "catalog.sqlite3")
    collection = catalog.create("", "contracts")
    documents = Documents(catalog, collection)
    for name in ("acme", "globex", "initech"):
        chunk = Chunk(name, collection, f"{name}.md", "Notice is given six weeks before the end.")
        key = documents.stage(f"{name}.md", "")
        documents.put(key, [chunk])
        documents.go_live(key)
    return documents


def test_a_word_that_only_the_files_name_has_finds_the_right_one_of_similar_documents(contracts: Documents) -> None:
    best = contracts.by_words("How much notice does Globex get?", 3, None)

    assert [contracts.chunks([key])[key][0].source for key, _ in best[:1]] == ["globex.md"]
    assert best[0][1] > best[1][1]


def test_a_document_is_removed_with_its_label(contracts: Documents) -> None:
    (row,) = [row for row in contracts.live() if row.source == "globex.md"]

    contracts.clear([row.key])

    assert contracts.by_words("globex", 3, None) == []
    assert len(contracts.by_words("notice", 3, None)) == 2


def test_documents_of_a_catalog_without_labels_are_found_and_removed(tmp_path: Path, contracts: Documents) -> None:
    """Their words were indexed without a label, so they must be removed without one."""
    contracts.catalog.close()
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as database, database:
        database.execute("DELETE FROM documents")
        database.execute("ALTER TABLE documents DROP COLUMN label")
        database.execute("PRAGMA user_version = 5")
    collections = Collections(Catalog(tmp_path / "catalog.sqlite3"), ExactStore(tmp_path / "vectors"))
    documents = collections.documents(contracts.collection)
    with documents.catalog.reading() as database:
        labels = database.execute("SELECT dflt_value FROM pragma_table_info('documents') WHERE name = 'label'")
        assert labels.fetchone() == ("''",)
    collections.close()
