"""Files that clients attach: whose turn it is, and what is left of a file that is deleted meanwhile."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event
from time import sleep

import pytest

from gateway.ask import ClientKey
from gateway.context.ingest import background_ingest
from gateway.context.ingest.attachments import COMPLETED, FAILED, Attachment
from gateway.context.ingest.background_ingest import BackgroundIngest, IngestTurn
from gateway.context.ingest.ingest import Ingest, Progress
from gateway.context.ingest.uploads import Uploads
from gateway.context.reading.chunk import Cut
from gateway.context.reading.document import Document
from gateway.context.reading.readers import read
from gateway.context.store.collections import Collections
from gateway.errors import CatalogUnavailable
from gateway.exchange import Chunk
from gateway.ports import Vectors
from tests.doubles.bag_embedder import BagEmbedder

ALICE, BOB = ClientKey("alice"), ClientKey("bob")
LONG = "\n\n".join(f"The zebrafish has fifteen days of leave in {year}. " * 20 for year in range(2000, 2020))


class ObservedEmbedder(BagEmbedder):
    """Calls `then` with the first text of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[str], None] = lambda _text: None

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.then(texts[0])
        return super().embed(texts)


class TwoBatches(IngestTurn):
    """A turn that is over after the second batch, whatever the time."""

    batches = 0

    def is_over(self, now: Progress) -> bool:
        self.batches += now.done > 0
        return self.batches > 1


@pytest.fixture
def embedder() -> ObservedEmbedder:
    return ObservedEmbedder()


@pytest.fixture
def intake(collections: Collections, embedder: ObservedEmbedder, tmp_path: Path) -> BackgroundIngest:
    ingest = Ingest(collections, embedder, read, tmp_path / "turns", Cut(20))
    return BackgroundIngest(collections, Uploads(collections.catalog, tmp_path / "files"), ingest)


def attach(intake: BackgroundIngest, key: ClientKey, store: str, *texts: str) -> list[str]:
    files = []
    for text in texts:
        draft = intake.uploads.draft()
        draft.write_text(text, "utf-8")
        files.append(intake.uploads.keep(draft, key, "notes.md", "assistants").id)
    intake.attachments.attach([Attachment(store, file) for file in files])
    return files


async def worked_off(intake: BackgroundIngest) -> None:
    """Run the background ingest until no file waits."""
    intake.open()
    try:
        async with asyncio.timeout(30):
            while intake.attachments.next_waiting() is not None:  # noqa: ASYNC110 - the catalog has no event
                await asyncio.sleep(0.01)
    finally:
        await intake.aclose()


def order_of(embedder: ObservedEmbedder, *words: str) -> list[str]:
    seen = [word for text in embedder.texts for word in words if word in text]
    return list(dict.fromkeys(seen))


async def test_keys_take_turns(intake: BackgroundIngest, embedder: ObservedEmbedder) -> None:
    stores = {key.name: intake.collections.catalog.create(key.name, "notes") for key in (ALICE, BOB)}
    attach(intake, ALICE, stores["alice"], "alpha one", "alpha two", "alpha three")
    attach(intake, BOB, stores["bob"], "beta one", "beta two")

    await worked_off(intake)

    words = ("alpha one", "alpha two", "alpha three", "beta one", "beta two")
    assert order_of(embedder, *words) == ["alpha one", "beta one", "alpha two", "beta two", "alpha three"]


async def test_a_long_file_makes_way_for_another_key_and_goes_on_where_it_was(
    intake: BackgroundIngest, embedder: ObservedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_ingest, "IngestTurn", TwoBatches)
    mine, theirs = (intake.collections.catalog.create(key.name, "notes") for key in (ALICE, BOB))
    (file,) = attach(intake, ALICE, mine, LONG)
    attach(intake, BOB, theirs, "beta")

    await worked_off(intake)

    last = embedder.texts.index("beta")
    batches = [text for text in embedder.texts if "zebrafish" in text]
    assert any("zebrafish" in text for text in embedder.texts[last:]), "it was not through before the other key's turn"
    assert len(batches) <= 2 * intake.collections.documents(mine).count(), "a turn repeats one batch at the most"
    attachment = intake.attachments.get(mine, file)
    assert attachment is not None
    assert attachment.status == COMPLETED


async def test_a_file_that_takes_too_long_fails_and_leaves_nothing(
    collections: Collections, embedder: ObservedEmbedder, tmp_path: Path
) -> None:
    ingest = Ingest(collections, embedder, read, tmp_path / "turns", Cut(20))
    uploads = Uploads(collections.catalog, tmp_path / "files")
    intake = BackgroundIngest(collections, uploads, ingest, longest_s=0.02)
    embedder.then = lambda _text: sleep(0.02)
    store = collections.catalog.create("alice", "notes")
    (file,) = attach(intake, ALICE, store, LONG)

    await worked_off(intake)

    attachment = intake.attachments.get(store, file)
    assert attachment is not None
    assert attachment.status == FAILED
    assert "the limit for one file. Split it" in attachment.error
    assert collections.documents(store).leftovers() == []
    assert collections.vectors.count(store) == 0


async def test_a_file_that_is_slow_to_read_does_not_hold_up_other_files(
    collections: Collections, embedder: ObservedEmbedder, tmp_path: Path
) -> None:
    is_read, others_are_added = Event(), Event()

    def slow_read(path: Path, name: str) -> Document:
        if "slow" in path.read_text("utf-8"):
            is_read.set()
            assert others_are_added.wait(10)
        return read(path, name)

    ingest = Ingest(collections, embedder, slow_read, tmp_path / "turns", Cut(20))
    intake = BackgroundIngest(collections, Uploads(collections.catalog, tmp_path / "files"), ingest, readers=3)
    mine, theirs = (collections.catalog.create(key.name, "notes") for key in (ALICE, BOB))
    slow = attach(intake, ALICE, mine, "slow one", "slow two", "slow three")
    (quick,) = attach(intake, BOB, theirs, "quick")
    embedder.then = lambda text: others_are_added.set() if "quick" in text else None

    await worked_off(intake)

    assert is_read.is_set()
    states = [
        intake.attachments.get(store, file) for store, file in [(theirs, quick), *((mine, file) for file in slow)]
    ]
    assert [state.status for state in states if state] == [COMPLETED] * 4
    assert order_of(embedder, "quick", "slow")[0] == "quick"


@pytest.mark.parametrize("how", ["file deleted", "file detached", "batch cancelled", "store deleted"])
async def test_what_is_taken_back_while_it_is_ingested_leaves_no_chunk_and_no_vector(
    intake: BackgroundIngest, embedder: ObservedEmbedder, tmp_path: Path, how: str
) -> None:
    store = intake.collections.catalog.create("alice", "notes")
    attach(intake, ALICE, store, "What stays.")
    draft = intake.uploads.draft()
    draft.write_text(LONG, "utf-8")
    file = intake.uploads.keep(draft, ALICE, "long.md", "assistants").id
    batch = intake.attachments.attach_batch(store, [Attachment(store, file)])
    batches = 0

    def take_back(text: str) -> None:
        nonlocal batches
        batches += "zebrafish" in text
        if batches != 3:
            return
        if how == "file deleted":
            intake.forget(file)
        elif how == "file detached":
            intake.attachments.detach(store, file)
            intake.take_out(store, file)
        elif how == "batch cancelled":
            intake.attachments.cancel(batch)
        else:
            intake.collections.drop(store)

    embedder.then = take_back
    await worked_off(intake)

    assert batches == 3
    expected = 0 if how == "store deleted" else 1
    with intake.collections.catalog.reading() as database:
        for table in ("documents", "chunks"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (expected,)
    assert intake.collections.vectors.count(store) == expected
    names = ("catalog.sqlite3", "catalog.sqlite3-wal")
    assert not any(b"ebrafish" in (tmp_path / name).read_bytes() for name in names)
    assert (tmp_path / "files" / file).exists() == (how != "file deleted")


async def test_a_file_that_was_cancelled_when_the_gateway_was_killed_leaves_nothing(
    intake: BackgroundIngest, embedder: ObservedEmbedder
) -> None:
    store = intake.collections.catalog.create("alice", "notes")
    (file,) = attach(intake, ALICE, store, LONG)
    documents = intake.collections.documents(store)
    documents.put(documents.stage(file, "", file=file), [Chunk("1", store, file, "zebrafish")])
    intake.attachments.detach(store, file)
    attach(intake, ALICE, store, "What stays.")

    await worked_off(intake)

    assert (documents.count(), documents.leftovers()) == (1, [])
    assert documents.by_words("zebrafish", 5, None) == []


def test_an_upload_to_a_locked_catalog_fails_within_two_seconds_and_leaves_nothing(
    intake: BackgroundIngest, tmp_path: Path
) -> None:
    draft = intake.uploads.draft()
    draft.write_text("notes", "utf-8")
    intake.collections.catalog.create("alice", "notes")
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")

        with pytest.raises(CatalogUnavailable, match=r"catalog\.sqlite3: database is locked") as failure:
            intake.uploads.keep(draft, ALICE, "notes.md", "assistants")

    assert (failure.value.status, failure.value.retry_after_s) == (503, 2.0)
    assert str(tmp_path) not in failure.value.message
    assert [path.name for path in (tmp_path / "files").iterdir()] == [draft.name]
    assert intake.uploads.keep(draft, ALICE, "notes.md", "assistants").bytes == 5


def test_bytes_without_a_row_are_swept_and_those_of_a_missing_catalog_are_not(intake: BackgroundIngest) -> None:
    (intake.uploads.folder).mkdir()
    orphan = intake.uploads.folder / "file-lost"
    orphan.write_text("x", "utf-8")

    intake.uploads.sweep(older_s=-1)
    assert orphan.exists(), "there is no row at all, so the catalog may be missing"
    store = intake.collections.catalog.create("alice", "notes")
    (file,) = attach(intake, ALICE, store, "notes")
    intake.uploads.sweep(older_s=-1)

    assert [path.name for path in intake.uploads.folder.iterdir()] == [file]
