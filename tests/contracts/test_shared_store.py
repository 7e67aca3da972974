"""One embedded store, several processes: what `foreword collections add` does beside a running gateway."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.context.chroma import ChromaStore
from gateway.context.folder import SharedFolder
from gateway.errors import CollectionError
from gateway.ports import Vectors

# Adds `batches` x 20 chunks, says so after each batch, and at the end removes the first source.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from gateway.context.chroma import ChromaStore
from gateway.exchange import Chunk

folder, batches, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = ChromaStore(folder)
for batch in range(batches):
    vectors = np.random.default_rng([seed, batch]).normal(size=(20, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"{seed}-{batch}-{row}" for row in range(20)]
    store.add("shared", [Chunk(name, "shared", f"{seed}-{batch}.md", name) for name in names], vectors)
    print(batch, flush=True)
store.remove("shared", f"{seed}-0.md")
store.close()
"""


def vector(seed: int, batch: int, row: int) -> Vectors:
    vectors = np.random.default_rng([seed, batch]).normal(size=(20, 16)).astype(np.float32)
    return vectors[row] / np.linalg.norm(vectors[row])


def writer(folder: Path, batches: int, seed: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(folder), str(batches), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChromaStore]:
    opened = ChromaStore(tmp_path)
    yield opened
    opened.close()


def test_a_reader_sees_each_batch_as_soon_as_two_other_processes_have_written_it(
    store: ChromaStore, tmp_path: Path
) -> None:
    assert list(store.collections()) == []  # opened before anything is written
    processes = {seed: writer(tmp_path, 15, seed) for seed in (1, 2)}
    for batch in range(15):
        for seed, process in processes.items():
            assert process.stdout is not None
            assert process.stdout.readline() == f"{batch}\n"
            found = store.search("shared", vector(seed, batch, 7), 1)
            # The last one may be through with everything, and then its first batch is gone again.
            assert found[0].id == f"{seed}-{batch}-7" or (batch == 0 and found)
    for process in processes.values():
        with process:
            assert process.wait(60) == 0

    assert store.count("shared") == 2 * 14 * 20
    for seed in (1, 2):
        assert store.search("shared", vector(seed, 0, 3), 1)[0].id != f"{seed}-0-3"
        assert [store.search("shared", vector(seed, 9, row), 1)[0].id for row in range(20)] == [
            f"{seed}-9-{row}" for row in range(20)
        ]


def test_a_writer_that_is_killed_leaves_a_store_that_reads_and_writes_on(store: ChromaStore, tmp_path: Path) -> None:
    with writer(tmp_path, 10_000, 1) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.kill()
        process.wait(60)

    assert [store.search("shared", vector(1, batch, 0), 1)[0].id for batch in range(5)] == [
        f"1-{batch}-0" for batch in range(5)
    ]
    with writer(tmp_path, 2, 2) as process:
        assert process.wait(60) == 0
    assert store.search("shared", vector(2, 1, 4), 1)[0].id == "2-1-4"


def test_a_folder_that_is_held_too_long_is_an_error_that_says_so(tmp_path: Path) -> None:
    holder, waiting = SharedFolder(tmp_path), SharedFolder(tmp_path, patience_s=0.01)
    with (
        holder.use(writing=False),
        pytest.raises(CollectionError, match="another process has held the store"),
        waiting.use(writing=False),
    ):
        pass

    with waiting.use(writing=True) as first:
        assert first.found == 0
    with holder.use(writing=False) as second:
        assert (second.found, second.held) == (first.held, first.held)


def test_a_folder_that_was_deleted_is_opened_anew(store: ChromaStore, tmp_path: Path) -> None:
    import shutil

    with writer(tmp_path, 2, 1) as process:
        assert process.wait(60) == 0
    assert store.count("shared") == 20
    shutil.rmtree(tmp_path)

    assert list(store.collections()) == []
