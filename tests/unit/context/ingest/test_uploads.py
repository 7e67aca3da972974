"""Uploaded files: a key sees its own, whether one is looked up or many."""

from pathlib import Path

from gateway.ask import ClientKey
from gateway.context.ingest.uploads import UploadedFile, Uploads
from gateway.context.store.catalog import Catalog

ALICE, BOB, ADMIN = ClientKey("alice"), ClientKey("bob"), ClientKey("root", admin=True)


def uploaded(uploads: Uploads, key: ClientKey) -> UploadedFile:
    draft = uploads.draft()
    draft.write_bytes(b"text")
    return uploads.keep(draft, key, "a.txt", "assistants")


def test_many_files_are_looked_up_at_once_and_only_those_of_the_key(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite3")
    catalog.open()
    uploads = Uploads(catalog, tmp_path / "files")
    hers, his = uploaded(uploads, ALICE), uploaded(uploads, BOB)
    # more than fit into one statement
    ids = [*(f"file-{number}" for number in range(1_200)), hers.id, his.id]

    assert uploads.of_ids(ids, ALICE) == {hers.id: hers}
    assert uploads.of_ids(ids, ADMIN) == {hers.id: hers, his.id: his}
    assert uploads.of_ids([], ADMIN) == {}
    catalog.close()
