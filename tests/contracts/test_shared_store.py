"""One folder of vectors, several processes: what `foreword collections add` does beside a running gateway."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec import Struct

from gateway.context.store.chroma import ChromaStore
from gateway.context.store.exact import ExactStore
from gateway.context.store.shared_folder import SharedFolder
from gateway.errors import CollectionError
from gateway.ports import Vectors, VectorStore

# Adds `batches` x 20 vectors, says so after each batch, and at the end removes the first document.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from gateway.context.store.{module} import {kind}

folder, batches, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = {kind}(folder)
for batch in range(batches):
    vectors = np.random.default_rng([seed, batch]).normal(size=(20, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store.add("vs_shared", seed * 1000 + batch, [seed * 10**6 + batch * 100 + row for row in range(20)], vectors)
    print(batch, flush=True)
store.remove("vs_shared", [seed * 1000])
store.close()
"""
KINDS = {"chroma": ChromaStore, "exact": ExactStore}


def vector(seed: int, batch: int, row: int) -> Vectors:
    vectors = np.random.default_rng([seed, batch]).normal(size=(20, 16)).astype(np.float32)
    return vectors[row] / np.linalg.norm(vectors[row])


class Shared(Struct):
    """A store that is open here, and what it takes to write to its folder from elsewhere."""

    kind: str
    folder: Path
    store: VectorStore

    def writer(self, batches: int, seed: int) -> "subprocess.Popen[str]":
        code = WRITER.format(module=self.kind, kind=KINDS[self.kind].__name__)
        command = [sys.executable, "-c", code, str(self.folder), str(batches), str(seed)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def nearest(self, seed: int, batch: int, row: int) -> int:
        return self.store.search("vs_shared", vector(seed, batch, row), 1)[0][0]


def key(seed: int, batch: int, row: int) -> int:
    return seed * 10**6 + batch * 100 + row


@pytest.fixture(params=list(KINDS))
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    opened = KINDS[request.param](tmp_path)
    yield Shared(request.param, tmp_path, opened)
    opened.close()


def test_a_reader_sees_each_batch_as_soon_as_two_other_processes_have_written_it(shared: Shared) -> None:
    assert list(shared.store.collections()) == []  # opened before anything is written
    processes = {seed: shared.writer(15, seed) for seed in (1, 2)}
    for batch in range(15):
        for seed, process in processes.items():
            assert process.stdout is not None
            assert process.stdout.readline() == f"{batch}\n"
            # the last one may be through with everything, and then its first batch is gone again
            assert shared.nearest(seed, batch, 7) == key(seed, batch, 7) or batch == 0
    for process in processes.values():
        with process:
            assert process.wait(60) == 0

    assert shared.store.count("vs_shared") == 2 * 14 * 20
    for seed in (1, 2):
        assert shared.nearest(seed, 0, 3) != key(seed, 0, 3)
        assert [shared.nearest(seed, 9, row) for row in range(20)] == [key(seed, 9, row) for row in range(20)]


def test_a_writer_that_is_killed_leaves_a_store_that_reads_and_writes_on(shared: Shared) -> None:
    with shared.writer(10_000, 1) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.kill()
        process.wait(60)

    assert [shared.nearest(1, batch, 0) for batch in range(5)] == [key(1, batch, 0) for batch in range(5)]
    with shared.writer(2, 2) as process:
        assert process.wait(60) == 0
    assert shared.nearest(2, 1, 4) == key(2, 1, 4)


def test_a_folder_that_was_deleted_is_opened_anew(shared: Shared) -> None:
    import shutil

    with shared.writer(2, 1) as process:
        assert process.wait(60) == 0
    assert shared.store.count("vs_shared") == 20
    shutil.rmtree(shared.folder)

    assert list(shared.store.collections()) == []
    assert shared.store.count("vs_shared") == 0


def test_a_folder_that_is_held_too_long_is_an_error_that_says_so(tmp_path: Path) -> None:
    holder, waiting = SharedFolder(tmp_path), SharedFolder(tmp_path, patience_s=0.01)
    with (
        holder.use(writing=False),
        pytest.raises(CollectionError, match="another process has held the store"),
        waiting.use(writing=False),
    ):
        pass

    with waiting.use(writing=True) as first:
        assert first.before == 0
    with holder.use(writing=False) as second:
        assert (second.before, second.held) == (first.held, first.held)
