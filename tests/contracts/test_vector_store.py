"""What every vector store must do. Run on embedded Chroma, on a Chroma server, and on the built-in exact one."""

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from gateway.context.store.chroma import ChromaStore
from gateway.context.store.exact import ExactStore
from gateway.errors import CollectionError, StoreUnreachable
from gateway.ports import Vectors, VectorStore
from tests.doubles.ports import free_port

DIMENSIONS = 8


@pytest.fixture(scope="module", params=["exact", "embedded", "server"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    folder = tmp_path_factory.mktemp("store")
    if request.param != "server":
        opened: VectorStore = ChromaStore(folder) if request.param == "embedded" else ExactStore(folder)
        yield opened
        opened.close()
        return
    port = free_port()
    with running(port, folder):
        remote = ChromaStore(url=f"http://127.0.0.1:{port}")
        yield remote
        remote.close()


@contextmanager
def running(port: int, folder: Path) -> Iterator[None]:
    """Run a Chroma server on a folder."""
    command = [Path(sys.executable).with_name("chroma"), "run", "--path", folder, "--host", "127.0.0.1"]
    server = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(port, server)
        yield
    finally:
        server.terminate()
        server.wait(10)


def _wait_until_it_listens(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("the Chroma server does not listen")


@pytest.fixture
def name() -> str:
    return f"vs_{uuid.uuid4().hex[:24]}"


def axis(*numbers: int) -> Vectors:
    """Unit vectors along the axes of those numbers."""
    return np.eye(DIMENSIONS, dtype=np.float32)[list(numbers)]


def test_a_search_gives_keys_best_first_with_their_cosine_similarity(store: VectorStore, name: str) -> None:
    vectors = np.stack([-axis(0)[0], (axis(0)[0] + axis(1)[0]) / np.sqrt(2), axis(0)[0]]).astype(np.float32)
    store.add(name, 1, [7, 8, 9], vectors)

    found = store.search(name, axis(0)[0], 3)

    assert [key for key, _ in found] == [9, 8, 7]
    assert [score for _, score in found] == pytest.approx([1.0, 0.7071, -1.0], abs=1e-3)
    assert [key for key, _ in store.search(name, axis(0)[0], 2)] == [9, 8]


def test_adding_a_known_key_replaces_its_vector(store: VectorStore, name: str) -> None:
    store.add(name, 1, [1], axis(0))
    store.add(name, 1, [1], axis(1))

    assert store.search(name, axis(1)[0], 5) == [(1, pytest.approx(1.0))]
    assert store.count(name) == 1


def test_the_same_key_twice_in_one_call_is_one_vector_the_last(store: VectorStore, name: str) -> None:
    store.add(name, 1, [1, 1], axis(0, 1))

    assert store.search(name, axis(1)[0], 5) == [(1, pytest.approx(1.0))]


def test_a_search_among_some_documents_finds_theirs_alone(store: VectorStore, name: str) -> None:
    for document in (1, 2, 3):
        store.add(name, document, [document * 10, document * 10 + 1], axis(0, document))

    assert {key for key, _ in store.search(name, axis(0)[0], 10, [2, 3])} == {20, 21, 30, 31}
    assert [key for key, _ in store.search(name, axis(0)[0], 1, [3])] == [30]
    assert store.search(name, axis(0)[0], 10, [4]) == []
    assert store.search(name, axis(0)[0], 10, []) == []


def test_the_same_keys_in_two_collections_have_nothing_to_do_with_each_other(store: VectorStore, name: str) -> None:
    store.add(name, 1, [1], axis(0))
    store.add(name + "b", 1, [1], axis(1))

    assert store.remove(name, [1]) == 1
    assert store.search(name + "b", axis(1)[0], 5) == [(1, pytest.approx(1.0))]
    assert store.search(name, axis(1)[0], 5) == []


def test_what_is_removed_by_its_document_is_found_no_more(store: VectorStore, name: str) -> None:
    store.add(name, 1, range(30), axis(*[0] * 30))
    store.add(name, 2, range(30, 50), axis(*[1] * 20))

    assert store.remove(name, [1, 9]) == 30

    assert store.count(name) == 20
    assert sorted(key for key, _ in store.search(name, axis(0)[0], 50)) == list(range(30, 50))


def test_a_removed_collection_is_gone_and_can_be_made_anew(store: VectorStore, name: str) -> None:
    store.add(name, 1, [1, 2], axis(0, 1))
    assert name in store.collections()

    assert store.remove(name) == 2

    assert name not in store.collections()
    assert store.search(name, axis(0)[0], 1) == []
    store.add(name, 1, [3], np.eye(DIMENSIONS + 1, dtype=np.float32)[:1])
    assert store.count(name) == 1


def test_what_is_not_there_counts_as_nothing(store: VectorStore, name: str) -> None:
    assert (store.count(name), store.remove(name), store.remove(name, [1])) == (0, 0, 0)
    assert store.search(name, axis(0)[0], 1) == []
    assert name not in store.collections()


def test_vectors_of_another_embedder_are_refused_with_the_remedy(store: VectorStore, name: str) -> None:
    store.add(name, 1, [1], axis(0))

    with pytest.raises(CollectionError, match="embedder was changed"):
        store.search(name, np.ones(DIMENSIONS + 1, np.float32), 1)
    with pytest.raises(CollectionError, match="embedder was changed"):
        store.add(name, 1, [2], np.ones((1, DIMENSIONS + 1), np.float32))
    assert store.count(name) == 1


def test_more_than_one_batch_goes_in_and_most_of_it_out_again(store: VectorStore, name: str) -> None:
    count = 5600
    angles = np.linspace(0, 1, count, dtype=np.float32)
    vectors = np.stack([np.cos(angles), np.sin(angles), *[np.zeros_like(angles)] * (DIMENSIONS - 2)], axis=1)
    store.add(name, 1, range(5000), vectors[:5000])
    store.add(name, 2, range(5000, count), vectors[5000:])

    assert store.count(name) == count
    assert store.search(name, vectors[0], 1)[0][1] == pytest.approx(1.0, abs=1e-3)
    assert store.remove(name, [1]) == 5000
    assert store.count(name) == 600
    assert {key for key, _ in store.search(name, vectors[0], 10)} == set(range(5000, 5010))
    store.add(name, 3, [count], vectors[:1])
    assert store.search(name, vectors[0], 1) == [(count, pytest.approx(1.0, abs=1e-3))]


def test_a_server_that_goes_away_is_said_and_one_that_comes_back_is_used(tmp_path: Path) -> None:
    port = free_port()
    remote = ChromaStore(url=f"http://reader:s3cret@127.0.0.1:{port}")
    with pytest.raises(StoreUnreachable, match=f"no Chroma server answers at http://127.0.0.1:{port}:") as refused:
        remote.search("c", axis(1), 3)
    assert "s3cret" not in str(refused.value)
    with running(port, tmp_path):
        assert remote.search("c", axis(1), 3) == []
    with pytest.raises(StoreUnreachable, match=f"no Chroma server answers at http://127.0.0.1:{port}"):
        remote.search("c", axis(1), 3)
    remote.close()
