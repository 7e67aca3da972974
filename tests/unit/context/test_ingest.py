import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.context.chroma import ChromaStore
from gateway.context.ingest import Added, Ingest, Progress, source_name
from gateway.context.manifest import Manifest
from gateway.errors import CollectionError
from tests.doubles.bag_embedder import BagEmbedder

REPOSITORY = Path(__file__).parents[3]

# Adds ten files of 40 chunks, and tells each step on standard output.
INGEST = """
import sys
from pathlib import Path
from gateway.context.chroma import ChromaStore
from gateway.context.ingest import Ingest
from gateway.context.manifest import Manifest
from tests.doubles.bag_embedder import BagEmbedder

root = Path(sys.argv[1])
ingest = Ingest(ChromaStore(root / "chroma"), BagEmbedder(), Manifest(root / "manifest.sqlite3"), root, 20)
ingest.add("handbook", sorted(root.glob("*.md")), lambda now: print(now.file, now.done, flush=True))
"""


@pytest.fixture
def embedder() -> BagEmbedder:
    return BagEmbedder()


@pytest.fixture
def ingest(store: ChromaStore, embedder: BagEmbedder, tmp_path: Path) -> Ingest:
    return Ingest(store, embedder, Manifest(tmp_path / "manifest.sqlite3"), tmp_path, 20)


def write(folder: Path, **files: str) -> list[Path]:
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, "utf-8")
    return [folder / f"{name}.md" for name in files]


def nearest(ingest: Ingest, query: str) -> str:
    return ingest.store.search("handbook", ingest.embedder.embed([query])[0], 1)[0].text


def test_files_go_in_once(ingest: Ingest, embedder: BagEmbedder, tmp_path: Path) -> None:
    paths = write(tmp_path, leave="Fifteen days of leave.", pay="Pay comes monthly.")

    first = ingest.add("handbook", paths)
    embedder.texts.clear()
    second = ingest.add("handbook", paths)

    assert first == [Added("leave.md", "added", 1), Added("pay.md", "added", 1)]
    assert second == [Added("leave.md", "unchanged", 1), Added("pay.md", "unchanged", 1)]
    assert embedder.texts == []
    assert nearest(ingest, "days of leave") == "Fifteen days of leave."


def test_a_changed_file_replaces_what_it_was(ingest: Ingest, tmp_path: Path) -> None:
    ingest.add("handbook", write(tmp_path, leave="word " * 200, pay="Pay comes monthly."))

    reports = ingest.add("handbook", write(tmp_path, leave="Twenty days of leave.", pay="Pay comes monthly."))

    assert [report.state for report in reports] == ["replaced", "unchanged"]
    assert ingest.store.count("handbook") == 2
    assert nearest(ingest, "word word leave") == "Twenty days of leave."


def test_another_chunk_size_cuts_again(ingest: Ingest, tmp_path: Path) -> None:
    from msgspec.structs import replace

    paths = write(tmp_path, leave="One two three. " * 20)
    ingest.add("handbook", paths)

    (report,) = replace(ingest, chunk_tokens=40).add("handbook", paths)

    assert (report.state, report.chunks) == ("replaced", ingest.store.count("handbook"))


def test_a_broken_file_is_reported_and_the_others_go_in(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    paths = [tmp_path / "broken.pdf", tmp_path / "missing.md", *write(tmp_path, leave="Fifteen days.")]

    broken, missing, leave = ingest.add("handbook", paths)

    assert (broken.state, missing.state, leave) == ("failed", "failed", Added("leave.md", "added", 1))
    assert "broken.pdf: cannot be read as .pdf" in broken.reason
    assert "missing.md: No such file" in missing.reason


def test_a_file_that_became_broken_leaves_its_last_good_chunks(ingest: Ingest, tmp_path: Path) -> None:
    ingest.add("handbook", write(tmp_path, leave="Fifteen days of leave."))

    (report,) = ingest.add("handbook", write(tmp_path, leave="  "))

    assert report.state == "failed"
    assert nearest(ingest, "leave") == "Fifteen days of leave."


def test_vectors_of_two_embedders_are_never_mixed(ingest: Ingest, tmp_path: Path) -> None:
    from msgspec.structs import replace

    ingest.add("handbook", write(tmp_path, leave="Fifteen days."))
    other = replace(ingest, embedder=BagEmbedder(shift=7))  # the same name and size, another meaning

    with pytest.raises(CollectionError, match="made with another embedder; run `foreword collections remove handbook`"):
        other.add("handbook", write(tmp_path, pay="Monthly."))

    assert ingest.store.count("handbook") == 1


def test_a_store_that_lost_its_chunks_is_filled_again(ingest: Ingest, tmp_path: Path) -> None:
    paths = write(tmp_path, leave="Fifteen days.")
    ingest.add("handbook", paths)
    ingest.store.remove("handbook")

    assert ingest.add("handbook", paths) == [Added("leave.md", "added", 1)]


def test_progress_is_told_file_by_file_and_batch_by_batch(ingest: Ingest, tmp_path: Path) -> None:
    told: list[Progress] = []
    paths = write(tmp_path, leave="One two three four five six seven eight. " * 100, pay="Monthly.")

    (leave, _) = ingest.add("handbook", [*paths, paths[0]], told.append)

    assert told[0] == Progress("leave.md", 1, 2)
    assert [now.done for now in told if now.file == 1] == [0, 32, leave.chunks]
    assert told[-1] == Progress("pay.md", 2, 2, 1, 1)


def test_a_source_is_named_by_its_path_below_the_root(tmp_path: Path) -> None:
    assert source_name(tmp_path / "docs" / "leave.md", tmp_path) == "docs/leave.md"
    assert source_name(Path("/elsewhere/leave.md"), tmp_path) == "/elsewhere/leave.md"


def test_a_killed_ingest_goes_on_where_it_was(ingest: Ingest, embedder: BagEmbedder, tmp_path: Path) -> None:
    texts = {f"f{number}": f"Sentence of file{number} with a few words in it. " * 100 for number in range(10)}
    paths = write(tmp_path, **texts)
    command = [sys.executable, "-c", INGEST, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "5 32\n":
            assert process.poll() is None
        process.kill()
        assert process.wait(30) == -signal.SIGKILL

    before = len(ingest.manifest.entries("handbook"))
    reports = ingest.add("handbook", paths)

    assert 4 <= before < 10
    assert [report.state for report in reports] == ["unchanged"] * before + ["added"] * (10 - before)
    assert ingest.store.count("handbook") == sum(report.chunks for report in reports)
    for number in range(10):
        assert f"file{number}" in nearest(ingest, f"file{number}")
