"""The built-in store with more vectors than it compares: the signs choose, and filters and deletions stay right."""

from pathlib import Path

import numpy as np
import pytest

from gateway.context.store import exact_index
from gateway.context.store.exact import ExactStore
from gateway.context.store.signs import fewest
from gateway.ports import Vectors

DIMENSIONS = 200
ROWS = 4000
LARGE = 400


@pytest.fixture(autouse=True)
def few_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_index, "COMPARED", 1000)


def drawn(rows: int, seed: int = 1, shift: float = 0.0) -> Vectors:
    """Random unit vectors. With a shift, all numbers are positive."""
    vectors = np.random.default_rng(seed).normal(shift, size=(rows, DIMENSIONS)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def near(vectors: Vectors, seed: int = 5) -> Vectors:
    """Queries near the vectors."""
    return np.asarray(0.5 * vectors + 0.5 * drawn(len(vectors), seed), np.float32)


def filled(folder: Path, vectors: Vectors, exact_up_to: int = LARGE) -> ExactStore:
    """A store whose document n holds the vectors from 1000 n."""
    store = ExactStore(folder, exact_up_to)
    for first in range(0, len(vectors), 1000):
        store.add("large", first // 1000, range(first, first + 1000), vectors[first : first + 1000])
    return store


def best(store: ExactStore, query: Vectors, documents: list[int] | None = None) -> int:
    return store.search("large", query, 5, documents)[0][0]


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_most_of_the_nearest_are_found_also_where_all_numbers_are_positive(tmp_path: Path, shift: float) -> None:
    vectors = drawn(ROWS, shift=shift)
    approximate, exact = filled(tmp_path / "a", vectors), filled(tmp_path / "b", vectors, ROWS)
    assert (tmp_path / "a" / "large" / "signs.1").stat().st_size == ROWS * 32
    assert not (tmp_path / "b" / "large" / "signs.1").exists()

    found = right = 0
    for query in drawn(20, 2, shift):
        truth = dict(exact.search("large", query, 10))
        results = approximate.search("large", query, 10)
        assert [score for _, score in results] == sorted((score for _, score in results), reverse=True)
        assert all(score == pytest.approx(truth[key], abs=1e-5) for key, score in results if key in truth)
        found, right = found + len(results), right + len(truth.keys() & dict(results).keys())

    assert found == 200
    assert right >= 170  # unrelated random vectors are the hardest ones; by chance it would be 50


def test_a_vector_is_chosen_by_its_signs(tmp_path: Path) -> None:
    vectors = drawn(ROWS)
    store = filled(tmp_path, vectors)
    query = near(vectors[1234:1235])[0]
    assert best(store, query) == 1234
    signs = np.memmap(tmp_path / "large" / "signs.1", np.uint64, "r+", shape=(ROWS, 4))

    signs[1234] = ~signs[1234]

    assert best(store, query) != 1234


def test_filters_find_only_their_documents_whether_few_or_many_vectors_remain(tmp_path: Path) -> None:
    vectors = drawn(ROWS)
    store = filled(tmp_path, vectors)
    store.add("large", 9, range(ROWS, ROWS + 20), drawn(20, 7))

    for row, query in enumerate(near(vectors[1000:1010]), 1000):
        assert best(store, query, [1]) == best(store, query, [1, 2, 3]) == row
        assert {key // 1000 for key, _ in store.search("large", query, 50, [0, 2])} <= {0, 2}
        assert all(ROWS <= key < ROWS + 20 for key, _ in store.search("large", query, 50, [9]))
        assert len(store.search("large", query, 50, [9])) == 20
    assert store.search("large", vectors[0], 5, [77]) == []


def test_removed_vectors_are_not_found_and_take_no_place_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_index, "COMPARED", 50)
    vectors = drawn(ROWS)
    # the query has few positive numbers, as an overwritten vector has none
    query = -np.abs(vectors[3500])
    vectors[3500] = query
    store = filled(tmp_path, vectors)

    store.remove("large", [1])

    assert best(store, query) == 3500
    results = store.search("large", query, 20)
    assert len(results) == 20
    assert not {key for key, _ in results} & set(range(1000, 2000))
    signs = np.fromfile(tmp_path / "large" / "signs.1", np.uint64).reshape(ROWS, 4)
    assert not signs[1000:2000].any()


def test_files_written_anew_have_signs_of_what_is_left(tmp_path: Path) -> None:
    vectors = drawn(ROWS)
    store = filled(tmp_path, vectors)

    store.remove("large", [0, 1, 2])

    names = {file.name for file in (tmp_path / "large").iterdir()}
    assert names == {"index.json", "keys.2", "vectors.2", "center.2", "signs.2"}
    assert best(store, near(vectors[3700:3701])[0]) == 3700


def test_a_replaced_vector_is_found_by_its_new_signs(tmp_path: Path) -> None:
    vectors = drawn(ROWS)
    store = filled(tmp_path, vectors)
    moved = drawn(1, 99)

    store.add("large", 0, [17], moved)

    assert best(store, near(moved)[0]) == 17
    assert best(store, vectors[17]) != 17


@pytest.mark.parametrize("lost", [["signs.1"], ["center.1"], ["signs.1", "center.1"]])
def test_without_complete_signs_all_are_compared_until_the_next_writer_completes_them(
    tmp_path: Path, lost: list[str]
) -> None:
    vectors = drawn(ROWS)
    filled(tmp_path, vectors)
    for name in lost:
        (tmp_path / "large" / name).unlink()
    query = near(vectors[2222:2223])[0]

    store = ExactStore(tmp_path, LARGE)
    assert best(store, query) == 2222
    assert not all((tmp_path / "large" / name).exists() for name in lost)
    store.add("large", 9, [ROWS], drawn(1, 7))

    assert (tmp_path / "large" / "signs.1").stat().st_size == (ROWS + 1) * 32
    assert best(store, query) == 2222


def test_signs_of_a_write_that_was_broken_off_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = drawn(ROWS)
    store = filled(tmp_path, vectors)

    def broken(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("gateway.context.store.exact_writer.put", broken)
        with pytest.raises(OSError, match="full"):
            store.add("large", 9, range(ROWS, ROWS + 500), drawn(500, 3))
    with (tmp_path / "large" / "signs.1").open("ab") as file:
        file.write(b"\xff" * 32 * 500)  # signs had come further than the keys
    later = drawn(500, 4)
    store.add("large", 9, range(ROWS, ROWS + 500), later)

    for row, query in enumerate(near(later[:10])):
        assert best(store, query) == ROWS + row


def test_of_equal_counts_at_the_limit_the_first_are_taken() -> None:
    counts = np.array([3, 1, 2, 2, 0, 2, 9], np.uint16)

    assert fewest(counts, 4).tolist() == [1, 2, 3, 4]
    assert fewest(counts, 1).tolist() == [4]
    assert fewest(counts, 50).tolist() == list(range(7))
