"""What every vector store must do. Run on embedded Chroma and on a Chroma server."""

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.context.chroma import ChromaStore
from gateway.errors import CollectionError
from gateway.exchange import Chunk
from gateway.ports import Vectors, VectorStore

DIMENSIONS = 8


@pytest.fixture(scope="module", params=["embedded", "server"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    folder = tmp_path_factory.mktemp("chroma")
    if request.param == "embedded":
        opened = ChromaStore(folder)
        yield opened
        opened.close()
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [Path(sys.executable).with_name("chroma"), "run", "--path", folder, "--host", "127.0.0.1"]
    server = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(port, server)
        opened = ChromaStore(url=f"http://127.0.0.1:{port}")
        yield opened
        opened.close()
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
    return f"handbook-{uuid.uuid4().hex[:8]}"


def axis(*numbers: int) -> Vectors:
    """Unit vectors along the axes of those numbers."""
    return np.eye(DIMENSIONS, dtype=np.float32)[list(numbers)]


def piece(collection: str, number: int, source: str = "leave.md", text: str = "") -> Chunk:
    return Chunk(
        id=f"{source}-{number}",
        collection=collection,
        source=source,
        text=text or f"text {number}",
        start=number * 10,
        end=number * 10 + 6,
        heading="Leave > Annual",
        page=2,
        tokens=3,
    )


def test_a_search_gives_whole_chunks_best_first_with_their_cosine_similarity(store: VectorStore, name: str) -> None:
    near, far, opposite = piece(name, 1), piece(name, 2), piece(name, 3)
    vectors = np.stack([axis(0)[0], (axis(0)[0] + axis(1)[0]) / np.sqrt(2), -axis(0)[0]]).astype(np.float32)
    store.add(name, [opposite, far, near], vectors[::-1])

    found = store.search(name, axis(0)[0], 3)

    assert [(chunk.id, chunk.source, chunk.text, chunk.start, chunk.end) for chunk in found] == [
        (chunk.id, chunk.source, chunk.text, chunk.start, chunk.end) for chunk in (near, far, opposite)
    ]
    assert [chunk.score for chunk in found] == pytest.approx([1.0, 0.7071, -1.0], abs=1e-3)
    assert (found[0].heading, found[0].page, found[0].tokens, found[0].collection) == ("Leave > Annual", 2, 3, name)


def test_adding_a_known_id_replaces_the_chunk_and_its_vector(store: VectorStore, name: str) -> None:
    store.add(name, [piece(name, 1, text="old")], axis(0))
    store.add(name, [piece(name, 1, text="new")], axis(1))

    (found,) = store.search(name, axis(1)[0], 5)

    assert (found.text, found.score) == ("new", pytest.approx(1.0))
    assert store.count(name) == 1


def test_the_same_id_twice_in_one_call_is_one_chunk(store: VectorStore, name: str) -> None:
    store.add(name, [piece(name, 1, text="first"), piece(name, 1, text="last")], axis(0, 1))

    assert [chunk.text for chunk in store.search(name, axis(0)[0], 5)] == ["last"]


@pytest.mark.parametrize("title", ["员工手册", "Überstunden & Urlaub", "a b", "a-b", "x", "../../etc", "x" * 600])
def test_a_collection_may_have_any_name(store: VectorStore, title: str) -> None:
    store.add(title, [piece(title, 1)], axis(0))

    assert title in store.collections()
    assert [chunk.collection for chunk in store.search(title, axis(0)[0], 5)] == [title]


def test_what_is_removed_by_its_source_is_found_no_more(store: VectorStore, name: str) -> None:
    kept = [piece(name, number, "kept.md") for number in range(20)]
    gone = [piece(name, number, "gone.md") for number in range(30)]
    store.add(name, [*gone, *kept], np.concatenate([axis(*[0] * 30), axis(*[1] * 20)]))

    removed = store.remove(name, "gone.md")

    found = store.search(name, axis(0)[0], 50)
    assert removed == 30
    assert store.count(name) == 20
    assert sorted(chunk.id for chunk in found) == sorted(chunk.id for chunk in kept)


def test_a_removed_collection_is_gone_and_can_be_made_anew(store: VectorStore, name: str) -> None:
    store.add(name, [piece(name, 1), piece(name, 2)], axis(0, 1))

    assert store.remove(name) == 2

    assert name not in store.collections()
    with pytest.raises(CollectionError, match=name):
        store.search(name, axis(0)[0], 1)
    store.add(name, [piece(name, 3)], axis(0))
    assert store.count(name) == 1


def test_what_is_not_there_counts_as_nothing(store: VectorStore, name: str) -> None:
    assert (store.count(name), store.remove(name), store.remove(name, "leave.md")) == (0, 0, 0)
    assert name not in store.collections()


def test_searching_an_unknown_collection_is_an_error_that_names_it(store: VectorStore, name: str) -> None:
    with pytest.raises(CollectionError, match=f"no collection '{name}'"):
        store.search(name, axis(0)[0], 1)


def test_vectors_of_another_embedder_are_refused_with_the_remedy(store: VectorStore, name: str) -> None:
    store.add(name, [piece(name, 1)], axis(0))

    with pytest.raises(CollectionError, match="embedder was changed"):
        store.search(name, np.ones(DIMENSIONS + 1, np.float32), 1)


def test_more_chunks_than_one_batch_go_in(store: VectorStore, name: str) -> None:
    many = [piece(name, number) for number in range(5600)]
    angles = np.linspace(0, 1, len(many), dtype=np.float32)
    vectors = np.stack([np.cos(angles), np.sin(angles), *[np.zeros_like(angles)] * (DIMENSIONS - 2)], axis=1)

    store.add(name, many, vectors)

    assert store.count(name) == len(many)
    assert store.search(name, vectors[0], 1)[0].score == pytest.approx(1.0, abs=1e-3)
