"""Slots, queues and readiness, with a scripted engine in the place of the real one."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.ask import Endpoint
from gateway.backends.local import llamacpp
from gateway.backends.local.llamacpp import LlamaCpp, LlamaCppSettings
from gateway.errors import BackendFailed, BadRequest, LimitReached, NotFound, NotReady
from gateway.ports import Reply
from tests.doubles.asking import asked, body
from tests.doubles.gguf import described

HELLO = [{"role": "user", "content": "Hello"}]
PIECE = b'{"id":"chatcmpl-1","created":1,"choices":[{"index":0,"delta":{"content":"a"}}]}'


class ScriptedEngine:
    """Says one piece, then waits until it is told to go on, piece by piece."""

    def __init__(self, *_: Any) -> None:
        self.go_on = threading.Semaphore(0)
        self.started = threading.Semaphore(0)
        self.stopped = 0
        self.failure: Exception | None = None

    def chat(self, _body: bytes, callback: Callable[[bytes], bool]) -> None:
        if self.failure is not None:
            raise self.failure
        while not callback(PIECE):
            self.started.release()
            self.go_on.acquire()
        self.stopped += 1

    complete = chat

    def count_tokens(self, text: str) -> int:
        return 7

    def close(self) -> None:
        pass


class Rig:
    def __init__(self, backend: LlamaCpp, engine: ScriptedEngine) -> None:
        self.backend, self.engine = backend, engine

    async def stream(self) -> Reply:
        return await self.backend.send(asked(Endpoint.CHAT, messages=HELLO, stream=True), "small", ())

    async def queued(self) -> "asyncio.Task[Reply]":
        """One more request, which is known to wait."""
        task = asyncio.create_task(self.stream())
        while not self.backend._room.waiting:  # noqa: ASYNC110  # the room has nobody to tell
            await asyncio.sleep(0)
        return task


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    engine = ScriptedEngine()
    monkeypatch.setattr(llamacpp, "LlamaEngine", lambda *_: engine)
    settings = LlamaCppSettings(name="small", model="m.gguf", parallel=1, queue=1)
    backend = LlamaCpp("local", settings, described(tmp_path / "m.gguf"))
    await backend.open()
    yield Rig(backend, engine)
    engine.go_on.release(1000)
    async with asyncio.timeout(10):
        await backend.aclose()


async def test_a_request_beyond_the_queue_is_refused_with_a_time_to_come_back(rig: Rig) -> None:
    running = await rig.stream()
    waiting = await rig.queued()
    with pytest.raises(LimitReached) as refused:
        await rig.stream()
    assert (refused.value.status, refused.value.retry_after_s) == (429, 2.0)
    await running.aclose()
    rig.engine.go_on.release()
    async with asyncio.timeout(10):
        await (await waiting).aclose()


async def test_a_burst_is_held_to_the_same_bound(rig: Rig) -> None:
    tasks = [asyncio.create_task(rig.stream()) for _ in range(5)]
    done, waiting = await asyncio.wait(tasks, timeout=0.5)
    assert sum(isinstance(task.exception(), LimitReached) for task in done) == 3
    rig.engine.go_on.release(1000)
    for task in [*(one for one in done if not one.exception()), *waiting]:
        async with asyncio.timeout(10):
            await (await task).aclose()


async def test_a_client_that_leaves_frees_the_slot_for_the_next(rig: Rig) -> None:
    first = await rig.stream()
    assert (await anext(first.pieces)).startswith(b"data: ")
    await first.aclose()
    rig.engine.go_on.release()
    async with asyncio.timeout(10):
        second = await rig.stream()
    assert rig.engine.stopped == 1
    await second.aclose()


async def test_a_reply_that_is_closed_unread_frees_the_slot(rig: Rig) -> None:
    await (await rig.stream()).aclose()
    rig.engine.go_on.release()
    async with asyncio.timeout(10):
        await (await rig.stream()).aclose()


async def test_a_whole_answer_that_nobody_awaits_any_more_is_stopped(rig: Rig) -> None:
    task = asyncio.create_task(rig.backend.send(asked(Endpoint.CHAT, messages=HELLO), "small", ()))
    await asyncio.to_thread(rig.engine.started.acquire)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    rig.engine.go_on.release()
    async with asyncio.timeout(10):
        await (await rig.stream()).aclose()
    assert rig.engine.stopped == 1


async def test_a_request_that_leaves_the_queue_takes_no_slot(rig: Rig) -> None:
    running = await rig.stream()
    waiting = await rig.queued()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await running.aclose()
    rig.engine.go_on.release()
    async with asyncio.timeout(10):
        await (await rig.stream()).aclose()


async def test_unloading_breaks_off_what_runs_instead_of_ending_it_as_if_whole(rig: Rig) -> None:
    reply = await rig.stream()
    await anext(reply.pieces)
    closing = asyncio.create_task(rig.backend.aclose())
    await asyncio.sleep(0)
    rig.engine.go_on.release()
    await closing
    with pytest.raises(BackendFailed, match="stopped"):
        await body(reply)
    with pytest.raises((NotReady, BackendFailed)):
        await rig.stream()


async def test_what_the_engine_raises_before_the_first_piece_is_the_clients_mistake(rig: Rig) -> None:
    rig.engine.failure = ValueError("no such thing")
    with pytest.raises(BadRequest, match="no such thing"):
        await rig.stream()
    rig.engine.failure = None
    await (await rig.stream()).aclose()


async def test_an_endpoint_that_the_model_does_not_serve_is_not_found(rig: Rig) -> None:
    with pytest.raises(NotFound, match="embeddings"):
        await rig.backend.send(asked(Endpoint.EMBEDDING, input="x"), "small", ())


async def test_a_model_that_loads_too_long_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = threading.Event()

    def slowly(*_: Any) -> ScriptedEngine:
        loaded.wait(10)
        return ScriptedEngine()

    monkeypatch.setattr(llamacpp, "LlamaEngine", slowly)
    settings = LlamaCppSettings(name="small", model="m.gguf", ready_wait_s=0.01)
    backend = LlamaCpp("local", settings, described(tmp_path / "m.gguf", window=1024))
    opening = asyncio.create_task(backend.open())
    with pytest.raises(NotReady) as refused:
        await backend.send(asked(Endpoint.CHAT, messages=HELLO), "small", ())
    assert refused.value.retry_after_s > 0
    assert backend.models()[0].window_tokens == 1024
    assert backend.count_tokens("x" * 40) == 10
    loaded.set()
    await opening
    assert backend.count_tokens("x" * 40) == 7
    await backend.aclose()


async def test_a_model_that_cannot_be_loaded_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> ScriptedEngine:
        raise RuntimeError("the weights are missing")

    monkeypatch.setattr(llamacpp, "LlamaEngine", broken)
    backend = LlamaCpp("local", LlamaCppSettings(name="small", model="m"), described(tmp_path / "m.gguf"))
    with pytest.raises(RuntimeError):
        await backend.open()
    with pytest.raises(BackendFailed, match="the weights are missing"):
        await backend.send(asked(Endpoint.CHAT, messages=HELLO), "small", ())
    await backend.aclose()


async def test_passages_beside_each_other_take_a_row_of_room_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine()
    monkeypatch.setattr(llamacpp, "LlamaEngine", lambda *_: engine)
    settings = LlamaCppSettings(name="small", model="m.gguf", context_tokens=64, parallel=2)
    backend = LlamaCpp("local", settings, described(tmp_path / "m.gguf"))
    await backend.open()

    async def began(**foreword: Any) -> Reply:
        exchange = asked(Endpoint.CHAT, messages=HELLO, stream=True, max_tokens=8, foreword=foreword)
        return await backend.send(exchange, "small", ())

    try:
        async with asyncio.timeout(60):
            for one in [await began(), await began()]:
                await one.aclose()
            engine.go_on.release(2)
            while backend._running:  # noqa: ASYNC110  # the engine's threads have nobody to tell
                await asyncio.sleep(0)
            many = await began(contexts=["a passage"] * 40)
            waiting = asyncio.create_task(began())
            while not backend._room.waiting:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await many.aclose()
            engine.go_on.release()
            await (await waiting).aclose()
    finally:
        engine.go_on.release(1000)
        await backend.aclose()
