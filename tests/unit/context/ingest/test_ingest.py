import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.context.ingest.embedded import embedded
from gateway.context.ingest.ingest import AddedFile, Ingest, IngestItem, Progress, source_name
from gateway.context.reading.chunk import Cut
from gateway.context.reading.document import ReadReport
from gateway.context.reading.readers import read
from gateway.context.store.catalog import Catalog, Collection
from gateway.context.store.chroma import ChromaStore
from gateway.context.store.collections import OPERATOR, Collections, Wish
from gateway.context.store.exact import ExactStore
from gateway.errors import CollectionError, DocumentGone, StoreDamaged
from tests.doubles.bag_embedder import BagEmbedder

REPOSITORY = Path(__file__).parents[4]

# Adds ten files of 200 chunks, and tells each step on standard output.
INGEST = """
import sys
from pathlib import Path
from tests.unit.context.ingest.test_ingest import ingest_in, items

root = Path(sys.argv[1])
ingest = ingest_in(root)
collection = ingest.collections.find_or_create("handbook", OPERATOR)
ingest.add(collection, items(sorted(root.glob("*.md")), root), lambda now: print(now.file, now.done, flush=True))
"""
INGEST = INGEST.replace("import sys\n", "import sys\nfrom gateway.context.store.collections import OPERATOR\n", 1)

MARKDOWN = ReadReport("Markdown", encoding="utf-8")


def ingest_in(root: Path, embedder: BagEmbedder | None = None) -> Ingest:
    collections = Collections(Catalog(root / "catalog.sqlite3"), ExactStore(root / "vectors"))
    return Ingest(collections, embedder or BagEmbedder(), read, root / "turns", Cut(20))


def items(paths: Sequence[Path], root: Path) -> list[IngestItem]:
    return [IngestItem(path, source_name(path, root)) for path in paths]


@pytest.fixture
def embedder() -> BagEmbedder:
    return BagEmbedder()


@pytest.fixture
def ingest(embedder: BagEmbedder, tmp_path: Path) -> Ingest:
    return ingest_in(tmp_path, embedder)


def handbook(ingest: Ingest) -> Collection:
    return ingest.collections.find_or_create("handbook", OPERATOR)


def add(ingest: Ingest, paths: Sequence[Path], told: Callable[[Progress], None] = lambda _now: None) -> list[AddedFile]:
    return ingest.add(handbook(ingest), items(paths, ingest.turns.parent), told)


def count(ingest: Ingest) -> int:
    """The chunks, which must be as many as the vectors."""
    id = handbook(ingest).id
    found = ingest.collections.documents(id).count()
    assert ingest.collections.vectors.count(id) == found
    return found


def write(folder: Path, **files: str) -> list[Path]:
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, "utf-8")
    return [folder / f"{name}.md" for name in files]


def nearest(ingest: Ingest, query: str) -> str:
    wish = Wish(query, ingest.embedder.embed([query])[0], 1)
    return ingest.collections.look_up(handbook(ingest), wish)[0].chunk.text


def test_files_go_in_once(ingest: Ingest, embedder: BagEmbedder, tmp_path: Path) -> None:
    paths = write(tmp_path, leave="Fifteen days of leave.", pay="Pay comes monthly.")

    first = add(ingest, paths)
    embedder.texts.clear()
    second = add(ingest, paths)

    assert first == [
        AddedFile("leave.md", "added", 1, report=MARKDOWN),
        AddedFile("pay.md", "added", 1, report=MARKDOWN),
    ]
    assert second == [AddedFile("leave.md", "unchanged", 1), AddedFile("pay.md", "unchanged", 1)]
    assert embedder.texts == []
    assert nearest(ingest, "days of leave") == "Fifteen days of leave."


def test_a_changed_file_replaces_what_it_was(ingest: Ingest, tmp_path: Path) -> None:
    add(ingest, write(tmp_path, leave="word " * 200, pay="Pay comes monthly."))

    reports = add(ingest, write(tmp_path, leave="Twenty days of leave.", pay="Pay comes monthly."))

    assert [report.state for report in reports] == ["replaced", "unchanged"]
    assert count(ingest) == 2
    assert nearest(ingest, "word word leave") == "Twenty days of leave."


def test_another_chunk_size_cuts_again(ingest: Ingest, tmp_path: Path) -> None:
    from msgspec.structs import replace

    paths = write(tmp_path, leave="One two three. " * 20)
    add(ingest, paths)

    (report,) = add(replace(ingest, cut=Cut(40)), paths)

    assert (report.state, report.chunks) == ("replaced", count(ingest))


def test_a_broken_file_is_reported_and_the_others_go_in(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    paths = [tmp_path / "broken.pdf", tmp_path / "missing.md", *write(tmp_path, leave="Fifteen days.")]

    broken, missing, leave = add(ingest, paths)

    assert (broken.state, missing.state, leave) == (
        "failed",
        "failed",
        AddedFile("leave.md", "added", 1, report=MARKDOWN),
    )
    assert "broken.pdf: cannot be read as .pdf" in broken.reason
    assert "missing.md: No such file" in missing.reason


def test_a_file_that_became_broken_leaves_its_last_good_chunks(ingest: Ingest, tmp_path: Path) -> None:
    add(ingest, write(tmp_path, leave="Fifteen days of leave."))

    (report,) = add(ingest, write(tmp_path, leave="  "))

    assert report.state == "failed"
    assert nearest(ingest, "leave") == "Fifteen days of leave."


def test_vectors_of_two_embedders_are_never_mixed(ingest: Ingest, tmp_path: Path) -> None:
    from msgspec.structs import replace

    add(ingest, write(tmp_path, leave="Fifteen days."))
    other = replace(ingest, embedder=BagEmbedder(shift=7))  # the same name and size, another meaning

    with pytest.raises(CollectionError, match="made with another embedder; run `foreword collections remove handbook`"):
        add(other, write(tmp_path, pay="Monthly."))

    assert count(ingest) == 1


def test_a_store_that_lost_its_vectors_gets_those_of_all_documents_again(ingest: Ingest, tmp_path: Path) -> None:
    leave, pay = write(tmp_path, leave="Fifteen days of leave.", pay="Pay comes monthly. " * 100)
    add(ingest, [leave, pay])
    before = count(ingest)
    ingest.collections.vectors.remove(handbook(ingest).id)

    assert add(ingest, [leave]) == [AddedFile("leave.md", "unchanged", 1)]

    assert count(ingest) == before > 2
    wish = Wish("", ingest.embedder.embed(["days of leave"])[0], 1, weight=1.0)
    assert ingest.collections.look_up(handbook(ingest), wish)[0].chunk.text == "Fifteen days of leave."


def damage_random(folder: Path) -> None:
    (folder / "chroma.sqlite3").write_bytes(bytes(range(256)) * 12)


def damage_cut(folder: Path) -> None:
    file = folder / "chroma.sqlite3"
    file.write_bytes(file.read_bytes()[:8192])


@pytest.mark.parametrize("damage", [damage_random, damage_cut])
def test_a_damaged_chroma_folder_is_named_searched_by_words_and_healed_by_adding(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    def opened() -> Ingest:
        collections = Collections(Catalog(tmp_path / "catalog.sqlite3"), ChromaStore(tmp_path / "chroma"))
        return Ingest(collections, BagEmbedder(), read, tmp_path / "turns", Cut(20))

    paths = write(tmp_path, leave="Fifteen days of leave.", pay="Pay comes monthly.")
    ingest = opened()
    add(ingest, paths)
    ingest.collections.close()
    damage(tmp_path / "chroma")
    ingest = opened()

    with pytest.raises(StoreDamaged, match=re.escape(str(tmp_path / "chroma"))):
        ingest.collections.vectors.count(handbook(ingest).id)
    ingest.collections.open()
    assert "vectors cannot be read" in ingest.collections.damage
    assert nearest(ingest, "days of leave") == "Fifteen days of leave."

    assert [report.state for report in add(ingest, paths[:1])] == ["unchanged"]
    assert count(ingest) == 2
    assert (tmp_path / "chroma.damaged-1" / "chroma.sqlite3").exists()
    ingest.collections.close()
    again = opened()
    assert (count(again), nearest(again, "monthly pay")) == (2, "Pay comes monthly.")
    again.collections.close()


def test_a_document_that_is_deleted_while_it_is_added_leaves_nothing(ingest: Ingest, tmp_path: Path) -> None:
    add(ingest, write(tmp_path, pay="Pay comes monthly."))
    paths = write(tmp_path, leave="The zebrafish has fifteen days of leave. " * 400)

    def delete_after_two_batches(now: Progress) -> None:
        if now.done == 128:
            raise DocumentGone("deleted")

    with pytest.raises(DocumentGone):
        add(ingest, paths, delete_after_two_batches)

    assert count(ingest) == 1
    assert not on_disk(tmp_path, b"ebrafish")


@pytest.mark.parametrize("whole", [True, False])
def test_a_delete_by_another_process_stops_the_ingest_and_leaves_nothing(
    ingest: Ingest, tmp_path: Path, whole: bool
) -> None:
    id = handbook(ingest).id
    paths = write(tmp_path, leave="The zebrafish has fifteen days of leave. " * 400)

    def delete(now: Progress) -> None:
        if now.done == 64:
            documents = ingest.collections.documents(id)
            if whole:
                ingest.collections.drop(id)
            else:
                ingest.collections.clear(id, [row.key for row in documents.at("leave.md")])

    with pytest.raises(DocumentGone):
        add(ingest, paths, delete)

    with ingest.collections.catalog.reading() as database:
        for table in ("documents", "chunks"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert ingest.collections.vectors.count(id) == 0
    assert not on_disk(tmp_path, b"ebrafish")


def test_the_statements_for_a_file_are_as_many_in_a_large_collection(ingest: Ingest, tmp_path: Path) -> None:
    """Statements that read all rows take longer with each; so the steps that SQLite takes are counted."""

    def steps(paths: list[Path]) -> int:
        taken = 0

        def step() -> int:
            nonlocal taken
            taken += 1
            return 0

        with ingest.collections.catalog.reading() as database:
            database.set_progress_handler(step, 10)
        add(ingest, paths)
        with ingest.collections.catalog.reading() as database:
            database.set_progress_handler(None, 10)
        return taken

    (first,) = write(tmp_path, first="The first file.")
    steps([first])
    (second,) = write(tmp_path, second="The second file.")
    small = steps([second])
    add(ingest, write(tmp_path, **{f"f{number}": f"File number {number}." for number in range(300)}))
    (last,) = write(tmp_path, last="The last file.")

    assert steps([last]) <= 1.5 * small


def test_progress_is_told_file_by_file_and_batch_by_batch(ingest: Ingest, tmp_path: Path) -> None:
    told: list[Progress] = []
    paths = write(tmp_path, leave="One two three four five six seven eight. " * 200, pay="Monthly.")

    (leave, _) = add(ingest, [*paths, paths[0]], told.append)

    assert told[0] == Progress("leave.md", 1, 2)
    assert [now.done for now in told if now.file == 1] == [0, *range(64, leave.chunks, 64), leave.chunks]
    assert told[-1] == Progress("pay.md", 2, 2, 1, 1)


def test_a_source_is_named_by_its_path_below_the_root(tmp_path: Path) -> None:
    assert source_name(tmp_path / "docs" / "leave.md", tmp_path) == "docs/leave.md"
    assert source_name(Path("/elsewhere/leave.md"), tmp_path) == "/elsewhere/leave.md"


def test_a_killed_ingest_goes_on_at_the_chunk_where_it_was(
    ingest: Ingest, embedder: BagEmbedder, tmp_path: Path
) -> None:
    texts = {f"f{number}": f"Sentence of file{number} with a few words in it. " * 400 for number in range(4)}
    paths = write(tmp_path, **texts)
    command = [sys.executable, "-c", INGEST, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "2 128\n":
            assert process.poll() is None
        process.kill()
        assert process.wait(30) == -signal.SIGKILL

    embedder.texts.clear()
    reports = add(ingest, paths)

    assert [report.state for report in reports] == ["unchanged", "added", "added", "added"]
    assert count(ingest) == sum(report.chunks for report in reports)
    embedded = [text for text in embedder.texts if "file1" in text]
    assert 0 < len(embedded) <= reports[1].chunks - 64
    chunks = ingest.collections.documents(handbook(ingest).id).of(2)
    assert [chunk.id for chunk in chunks] == list(dict.fromkeys(chunk.id for chunk in chunks))
    for number in range(4):
        assert f"file{number}" in nearest(ingest, f"file{number}")


def test_while_a_changed_file_goes_in_the_old_one_is_found(ingest: Ingest, tmp_path: Path) -> None:
    add(ingest, write(tmp_path, leave="Fifteen days of leave."))
    seen = []

    def look(now: Progress) -> None:
        if now.chunks and now.done < now.chunks:
            seen.append((nearest(ingest, "leave"), ingest.collections.documents(handbook(ingest).id).count()))

    add(ingest, write(tmp_path, leave="Twenty days of leave, and more words. " * 200), look)

    assert seen and set(seen) == {("Fifteen days of leave.", 1)}
    assert "Twenty" in nearest(ingest, "leave")
    assert count(ingest) > 64


def test_what_is_deleted_is_nowhere_in_the_files_any_more(ingest: Ingest, tmp_path: Path) -> None:
    add(ingest, write(tmp_path, leave="The zebrafish has fifteen days of leave.", pay="Pay comes monthly."))
    collection = handbook(ingest)
    row = ingest.collections.documents(collection.id).live_at("leave.md")
    assert row is not None
    assert on_disk(tmp_path, b"ebrafish")

    assert ingest.collections.clear(collection.id, [row.key]) == 1

    assert not on_disk(tmp_path, b"ebrafish")
    assert nearest(ingest, "fifteen days") == "Pay comes monthly."
    ingest.collections.drop(collection.id)
    assert not on_disk(tmp_path, b"monthly")
    assert ingest.collections.find("handbook", OPERATOR) is None


def on_disk(folder: Path, words: bytes) -> bool:
    return any(words in file.read_bytes() for file in folder.rglob("catalog.sqlite3*"))


def test_a_chunk_longer_than_the_embedder_reads_gets_the_mean_of_its_parts() -> None:
    embedder = BagEmbedder()
    long = "alpha " * 400 + "omega " * 400

    vector, short = embedded([long, "alpha"], embedder)

    alpha, omega = embedder.embed(["alpha", "omega"])
    assert float(vector @ alpha) > 0.5 and float(vector @ omega) > 0.5
    assert float(short @ alpha) == pytest.approx(1.0)
    assert float(vector @ vector) == pytest.approx(1.0, abs=1e-5)


def test_files_are_read_again_once_text_in_pictures_is_recognised(ingest: Ingest, tmp_path: Path) -> None:
    paths = write(tmp_path, leave="# Leave\n\nFifteen days.")
    add(ingest, paths)

    with_languages = replace(ingest, recognised=("eng",))

    assert [report.state for report in add(with_languages, paths)] == ["replaced"]
    assert [report.state for report in add(with_languages, paths)] == ["unchanged"]
