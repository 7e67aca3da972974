"""The built-in store with thousands of vectors, compared with numpy."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from gateway.context.store import exact, exact_files
from gateway.context.store.exact import ExactStore
from gateway.errors import StoreDamaged
from gateway.ports import Vectors

BLOCK = 4096
ROWS = 2 * BLOCK + 100


def drawn(rows: int, seed: int = 1) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def compared(vectors: Vectors, query: Vectors, keys: range) -> list[int]:
    """The best twenty of the keys by comparing each alone."""
    scores = np.array([vectors[key].astype(np.float64) @ query for key in keys])
    return [keys[place] for place in np.argsort(-scores, kind="stable")[:20]]


def nearest(store: ExactStore, query: Vectors, documents: list[int] | None = None) -> list[int]:
    return [key for key, _ in store.search("large", query, 20, documents)]


@pytest.mark.parametrize("batch", [ROWS, 1000, BLOCK])
def test_however_vectors_came_in_the_nearest_are_found(tmp_path: Path, batch: int) -> None:
    vectors, store = drawn(ROWS), ExactStore(tmp_path)
    for first in range(0, ROWS, batch):
        store.add("large", first // batch, range(first, min(ROWS, first + batch)), vectors[first : first + batch])

    for query in drawn(5, 2):
        assert nearest(store, query) == compared(vectors, query, range(ROWS))


def test_what_is_removed_is_overwritten_in_every_file(tmp_path: Path) -> None:
    vectors, store = drawn(ROWS), ExactStore(tmp_path)
    first, last = BLOCK - 50, BLOCK + 50
    store.add("large", 1, range(first), vectors[:first])
    marked = np.full((100, 8), 0.3535, np.float32)
    store.add("large", 2, range(first, last), marked)
    store.add("large", 3, range(last, ROWS), vectors[last:])

    assert store.remove("large", [2]) == 100

    left = b"".join(file.read_bytes() for file in (tmp_path / "large").iterdir())
    assert np.float32(0.3535).tobytes() not in left
    kept = np.concatenate([vectors[:first], np.zeros_like(marked), vectors[last:]])
    for query in drawn(5, 2):
        found = nearest(store, query)
        assert found == compared(kept, query, range(ROWS))
        assert nearest(store, query, [3]) == compared(kept, query, range(last, ROWS))


def test_files_written_anew_hold_what_is_left(tmp_path: Path) -> None:
    vectors, store = drawn(3 * BLOCK), ExactStore(tmp_path)
    store.add("large", 1, range(BLOCK, 3 * BLOCK), vectors[BLOCK:])
    store.add("large", 2, range(BLOCK), vectors[:BLOCK])

    store.remove("large", [1])

    assert {file.suffix for file in (tmp_path / "large").iterdir()} == {".2", ".json"}
    query = drawn(1, 2)[0]
    assert nearest(store, query) == compared(vectors, query, range(BLOCK))


def test_a_write_that_was_broken_off_leaves_nothing_in_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, store = drawn(BLOCK + 10), ExactStore(tmp_path)
    store.add("large", 1, range(10), vectors[:10])
    written = exact_files.put

    def broken(file: Path, place: int, content: bytes) -> None:
        if file.name.startswith("keys"):
            raise OSError("the disk is full")
        written(file, place, content)

    with monkeypatch.context() as patched:
        patched.setattr("gateway.context.store.exact_writer.put", broken)
        with pytest.raises(OSError, match="full"):
            store.add("large", 2, range(10, BLOCK + 5), drawn(BLOCK - 5, 3))
    assert store.count("large") == 10
    store.add("large", 2, range(10, BLOCK + 10), vectors[10:])

    query = drawn(1, 2)[0]
    assert nearest(store, query) == compared(vectors, query, range(BLOCK + 10))


def test_the_second_copy_of_an_earlier_version_is_deleted_with_the_next_write(tmp_path: Path) -> None:
    vectors, store = drawn(10), ExactStore(tmp_path)
    store.add("large", 1, range(9), vectors[:9])
    (tmp_path / "large" / "columns.1").write_bytes(vectors.tobytes())

    store.add("large", 2, [9], vectors[9:])

    assert {file.name for file in (tmp_path / "large").iterdir()} == {"index.json", "keys.1", "vectors.1"}


@pytest.mark.parametrize("dropped", [False, True])
def test_a_reader_whose_files_are_taken_away_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dropped: bool
) -> None:
    vectors, writer, reader = drawn(3000), ExactStore(tmp_path), ExactStore(tmp_path)
    writer.add("large", 1, range(1600), vectors[:1600])
    writer.add("large", 2, range(1600, 3000), vectors[1600:])
    seen: list[exact_files.Stamp | None] = []

    def then_changed(folder: Path, known: exact_files.Stamp | None = None) -> exact_files.Stamp | None:
        """What is there, and right after that the files are written anew, or deleted."""
        seen.append(stamp_of(folder, known))
        if len(seen) == 1:
            writer.remove("large", None if dropped else [1])
        return seen[-1]

    stamp_of = exact_files.stamp_of
    monkeypatch.setattr(exact, "stamp_of", then_changed)

    found = nearest(reader, vectors[2000])

    assert found == ([] if dropped else compared(vectors, vectors[2000], range(1600, 3000)))
    assert len(seen) == 2


@pytest.mark.parametrize("damage", ["vectors lost", "vectors cut", "head cut"])
def test_a_store_with_damaged_files_names_the_file_and_can_be_filled_again(tmp_path: Path, damage: str) -> None:
    store = ExactStore(tmp_path)
    store.add("large", 1, range(10), drawn(10))
    store.add("other", 1, range(10), drawn(10))
    folder = tmp_path / "large"
    if damage == "vectors lost":
        (folder / "vectors.1").unlink()
    else:
        file = folder / ("index.json" if damage == "head cut" else "vectors.1")
        file.write_bytes(file.read_bytes()[:9])
        os.utime(file, ns=(1, 1))

    with pytest.raises(StoreDamaged, match=re.escape(str(folder))):
        ExactStore(tmp_path).search("large", drawn(1)[0], 5)
    opened = ExactStore(tmp_path)
    opened.mend("large")

    assert (opened.count("large"), opened.count("other")) == (0, 10)
    opened.add("large", 1, range(10), drawn(10))
    assert nearest(opened, drawn(10)[3])[0] == 3
    assert list(opened.collections()) == ["large", "other"]
