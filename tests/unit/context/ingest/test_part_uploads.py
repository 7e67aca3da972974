"""Uploads in parts: order, size, checksum, other keys, restarts and races."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.ask import ClientKey
from gateway.context.ingest import part_uploads
from gateway.context.ingest.part_uploads import PartUploads
from gateway.context.ingest.uploads import UploadedFile, Uploads
from gateway.context.store.catalog import Catalog
from gateway.errors import BadRequest, NotFound

ALICE, BOB, ADMIN = ClientKey("alice"), ClientKey("bob"), ClientKey("root", admin=True)
FIRST, SECOND = b"The first part. ", b"The second part."
WHOLE = FIRST + SECOND


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    catalog = Catalog(tmp_path / "catalog.sqlite3")
    catalog.open()
    yield Uploads(catalog, tmp_path / "files")
    catalog.close()


def part(parts: PartUploads, uploads: Uploads, id: str, content: bytes, key: ClientKey = ALICE) -> str:
    draft = uploads.draft()
    draft.write_bytes(content)
    return parts.add(id, key, draft).id


def stored(uploads: Uploads) -> list[Path]:
    return sorted(uploads.folder.iterdir())


def test_parts_are_joined_in_the_order_that_complete_names(uploads: Uploads) -> None:
    parts = PartUploads(uploads)
    id = parts.create(ALICE, "a.txt", len(WHOLE), "assistants", 3600).id
    second, first = part(parts, uploads, id, SECOND), part(parts, uploads, id, FIRST)
    assert uploads.all(ADMIN) == []

    upload, file = parts.complete(id, ALICE, [first, second], hashlib.md5(WHOLE).hexdigest().upper())

    assert (upload.status, upload.file) == ("completed", file.id)
    assert (file.owner, file.name, file.bytes, file.expires - file.created) == ("alice", "a.txt", len(WHOLE), 3600)
    assert [path.read_bytes() for path in stored(uploads)] == [WHOLE]
    assert uploads.all(ALICE) == [file]


def test_an_upload_and_its_parts_survive_a_restart(uploads: Uploads) -> None:
    before = PartUploads(uploads)
    id = before.create(ALICE, "a.txt", len(WHOLE), "assistants").id
    first = part(before, uploads, id, FIRST)
    uploads.catalog.close()

    catalog = Catalog(uploads.catalog.file)
    catalog.open()
    again = Uploads(catalog, uploads.folder)
    after = PartUploads(again)
    after.sweep()
    again.sweep(older_s=3600.0)
    _, file = after.complete(id, ALICE, [first, part(after, again, id, SECOND)])

    assert again.path(file.id).read_bytes() == WHOLE
    catalog.close()


def test_another_key_cannot_learn_that_an_upload_exists(uploads: Uploads) -> None:
    parts = PartUploads(uploads)
    id = parts.create(ALICE, "a.txt", len(WHOLE), "assistants").id
    first = part(parts, uploads, id, WHOLE)
    attempts: list[Callable[[str], object]] = [
        lambda id: parts.get(id, BOB),
        lambda id: part(parts, uploads, id, FIRST, BOB),
        lambda id: parts.complete(id, BOB, [first]),
        lambda id: parts.cancel(id, BOB),
    ]
    for attempt in attempts:
        messages = []
        for name in (id, "upload_unknown"):
            with pytest.raises(NotFound) as refusal:
                attempt(name)
            messages.append(str(refusal.value).replace(name, ""))
        assert messages[0] == messages[1]
    his = parts.create(BOB, "b.txt", len(WHOLE), "assistants").id
    with pytest.raises(BadRequest, match="has no part"):
        parts.complete(his, BOB, [first])

    assert parts.complete(id, ADMIN, [first])[1].owner == "alice"


@pytest.mark.parametrize(
    ("names", "md5", "message"),
    [
        (["first"], "", "bytes together"),
        (["first", "first"], "", "twice"),
        (["first", "part_unknown"], "", "has no part"),
        (["first", "second"], "0" * 32, "checksum"),
    ],
)
def test_what_does_not_fit_publishes_nothing_and_the_upload_stays_pending(
    uploads: Uploads, names: list[str], md5: str, message: str
) -> None:
    parts = PartUploads(uploads)
    id = parts.create(ALICE, "a.txt", len(WHOLE), "assistants").id
    ids = {"first": part(parts, uploads, id, FIRST), "second": part(parts, uploads, id, SECOND)}
    before = stored(uploads)

    with pytest.raises(BadRequest, match=message):
        parts.complete(id, ALICE, [ids.get(name, name) for name in names], md5)

    assert (uploads.all(ADMIN), stored(uploads), parts.get(id, ALICE).status) == ([], before, "pending")
    assert parts.complete(id, ALICE, [ids["first"], ids["second"]])[1].bytes == len(WHOLE)


def test_complete_again_returns_the_same_file_and_no_second_one(uploads: Uploads) -> None:
    parts = PartUploads(uploads)
    id = parts.create(ALICE, "a.txt", len(WHOLE), "assistants").id
    whole = part(parts, uploads, id, WHOLE)

    assert parts.complete(id, ALICE, [whole]) == parts.complete(id, ALICE, [whole])

    assert len(uploads.all(ALICE)) == 1
    with pytest.raises(BadRequest, match="is completed"):
        parts.complete(id, ALICE, ["part_other"])
    with pytest.raises(BadRequest, match="is completed"):
        parts.cancel(id, ALICE)
    with pytest.raises(BadRequest, match="is completed"):
        part(parts, uploads, id, WHOLE)


def test_a_cancel_during_complete_wins_and_no_file_appears(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = PartUploads(uploads)
    id = parts.create(ALICE, "a.txt", len(WHOLE), "assistants").id
    whole = part(parts, uploads, id, WHOLE)
    keep = uploads.keep

    def late(*values: object) -> UploadedFile:
        parts.cancel(id, ALICE)
        return keep(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(uploads, "keep", late)
    with pytest.raises(BadRequest, match="is cancelled"):
        parts.complete(id, ALICE, [whole])

    assert (uploads.all(ADMIN), stored(uploads)) == ([], [])
    assert parts.cancel(id, ALICE).status == "cancelled"


def test_an_expired_upload_takes_nothing_and_its_parts_are_deleted(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = PartUploads(uploads)
    id = parts.create(ALICE, "a.txt", len(WHOLE), "assistants").id
    whole = part(parts, uploads, id, WHOLE)
    now = part_uploads.time() + part_uploads.LIFETIME_S + 1
    monkeypatch.setattr(part_uploads, "time", lambda: now)

    assert parts.get(id, ALICE).status == "expired"
    with pytest.raises(BadRequest, match="is expired"):
        part(parts, uploads, id, FIRST)
    with pytest.raises(BadRequest, match="is expired"):
        parts.complete(id, ALICE, [whole])
    parts.sweep()
    assert uploads.all(ADMIN) == []
    assert not (uploads.folder / f"{whole}.part").exists()

    now += part_uploads.SHOWN_S
    parts.sweep()
    with pytest.raises(NotFound):
        parts.get(id, ALICE)


def test_parts_are_limited(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = PartUploads(uploads)
    id = parts.create(ALICE, "a.txt", 4, "assistants").id
    with pytest.raises(BadRequest, match="empty"):
        part(parts, uploads, id, b"")
    with pytest.raises(BadRequest, match="larger than the 4 bytes"):
        part(parts, uploads, id, b"12345")
    part(parts, uploads, id, b"1234")
    part(parts, uploads, id, b"1234")
    with pytest.raises(BadRequest, match="larger than the 4 bytes"):
        part(parts, uploads, id, b"1")
    monkeypatch.setattr(part_uploads, "MOST_PARTS", 1)
    other = parts.create(ALICE, "b.txt", 4, "assistants").id
    part(parts, uploads, other, b"1")
    with pytest.raises(BadRequest, match="at most 1 parts"):
        part(parts, uploads, other, b"2")
