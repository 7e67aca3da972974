import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from gateway.context.embedding.batcher import Batcher
from gateway.errors import NotReady
from gateway.ports import Vectors


class Lengths:
    """An embedder whose vector is the text's length. It waits at the gate, and remembers its batches."""

    name, dimensions, window_tokens = "lengths", 1, 100

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.started = threading.Event()
        self.gate.set()

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.threads.add(threading.current_thread().name)
        self.batches.append(list(texts))
        self.started.set()
        self.gate.wait(10)
        if "bad" in texts:
            raise ValueError("bad text")
        return np.array([[len(text)] for text in texts], dtype=np.float32)

    def count_tokens(self, text: str) -> int:
        return len(text)


async def running(embedder: Lengths) -> None:
    await asyncio.to_thread(embedder.started.wait, 10)


async def test_rows_come_in_the_order_of_the_texts() -> None:
    batcher = Batcher(Lengths())
    assert (await batcher.embed(["aaa", "b", "aaa", "cc"])).tolist() == [[3], [1], [3], [2]]
    assert (await batcher.embed([])).shape == (0, 1)
    await batcher.aclose()


async def test_calls_that_come_while_a_batch_runs_form_the_next_one_together() -> None:
    embedder = Lengths()
    batcher = Batcher(embedder)
    embedder.gate.clear()
    first = asyncio.create_task(batcher.embed(["first"]))
    await running(embedder)
    others = [asyncio.create_task(batcher.embed([text])) for text in ("a", "bb", "ccc")]
    await asyncio.sleep(0)
    embedder.gate.set()
    assert [rows.tolist() for rows in await asyncio.gather(first, *others)] == [[[5]], [[1]], [[2]], [[3]]]
    assert [sorted(batch) for batch in embedder.batches] == [["first"], ["a", "bb", "ccc"]]
    assert len(embedder.threads) == 1
    await batcher.aclose()


async def test_a_query_does_not_queue_behind_a_document() -> None:
    embedder = Lengths()
    batcher = Batcher(embedder, batch=2)
    embedder.gate.clear()
    first = asyncio.create_task(batcher.embed(["first"]))
    await running(embedder)
    document = asyncio.create_task(batcher.embed([f"chunk {n}" for n in range(6)]))
    await asyncio.sleep(0)
    query = asyncio.create_task(batcher.embed(["query"]))
    await asyncio.sleep(0)
    embedder.gate.set()
    await asyncio.gather(first, document, query)
    assert "query" in embedder.batches[1]
    await batcher.aclose()


async def test_a_batch_is_bounded_in_characters() -> None:
    embedder = Lengths()
    batcher = Batcher(embedder, characters=10)
    await batcher.embed(["a" * 6, "b" * 6, "c" * 30, "d"])
    assert [len(batch) for batch in embedder.batches] == [1, 1, 1, 1]
    await batcher.aclose()


async def test_what_was_embedded_lately_is_not_embedded_again() -> None:
    embedder = Lengths()
    batcher = Batcher(embedder, remember=2)
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        await batcher.embed([text])
    assert embedder.batches == [["a"], ["bb"], ["ccc"], ["bb"]]
    await batcher.aclose()


async def test_a_caller_who_leaves_takes_nothing_from_the_others() -> None:
    embedder = Lengths()
    batcher = Batcher(embedder)
    embedder.gate.clear()
    leaves, stays = (asyncio.create_task(batcher.embed(["same"])) for _ in range(2))
    await running(embedder)
    leaves.cancel()
    embedder.gate.set()
    assert (await stays).tolist() == [[4]]
    assert embedder.batches == [["same"]]
    await batcher.aclose()


async def test_a_failure_reaches_its_callers_and_the_next_call_works() -> None:
    batcher = Batcher(Lengths())
    with pytest.raises(ValueError, match="bad text"):
        await batcher.embed(["bad"])
    assert (await batcher.embed(["good"])).tolist() == [[4]]
    await batcher.aclose()


async def test_a_flood_is_refused() -> None:
    embedder = Lengths()
    batcher = Batcher(embedder, queue=2)
    embedder.gate.clear()
    taken = [asyncio.create_task(batcher.embed(["first"]))]
    await running(embedder)
    taken.append(asyncio.create_task(batcher.embed(["a", "b"])))
    await asyncio.sleep(0)
    with pytest.raises(NotReady, match="2 texts are waiting"):
        await batcher.embed(["c"])
    embedder.gate.set()
    await asyncio.gather(*taken)
    await batcher.aclose()


async def test_closing_fails_what_waits_and_ends_the_thread() -> None:
    embedder = Lengths()
    batcher = Batcher(embedder)
    embedder.gate.clear()
    runs = asyncio.create_task(batcher.embed(["runs"]))
    await running(embedder)
    waits = asyncio.create_task(batcher.embed(["waits"]))
    await asyncio.sleep(0)
    closing = asyncio.create_task(batcher.aclose())
    await asyncio.sleep(0)
    embedder.gate.set()
    await closing
    assert (await runs).tolist() == [[4]]
    with pytest.raises(NotReady, match="closed"):
        await waits
    with pytest.raises(NotReady, match="closed"):
        await batcher.embed(["late"])
    assert not any(thread.name in embedder.threads for thread in threading.enumerate())


async def test_other_threads_are_served_on_the_same_worker() -> None:
    embedder = Lengths()
    batcher = Batcher(embedder, batch=2)
    rows = await asyncio.to_thread(batcher.embed_sync, ["a", "bb", "ccc"])
    assert rows.tolist() == [[1], [2], [3]]
    await batcher.embed(["other"])
    assert len(embedder.threads) == 1
    await batcher.aclose()
