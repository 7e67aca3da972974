"""The execution of batches, with several workers and with failures, in front of a stub of a gateway."""

import asyncio
import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.ask import Ask, ClientKey, Endpoint
from gateway.errors import BackendFailed, NotReady
from gateway.exchange import Call
from gateway.ports import Reply
from gateway.server.batches import run, store
from gateway.server.batches.run import BatchRunner
from gateway.server.batches.store import BatchStore
from gateway.wire.batches import result

ENDPOINT = "/v1/chat/completions"


class Uploads:
    """The input file of every batch is `input`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fails = folder, False

    def by_id(self, id: str) -> str:
        return id

    def path(self, id: str) -> Path:
        return self.folder / id

    def draft(self) -> Path:
        return self.folder / "draft"

    def keep(self, draft: Path, key: ClientKey, name: str, purpose: str) -> Any:
        if self.fails and "first" in draft.read_text():
            raise OSError("the disk is full")
        return SimpleNamespace(id=name)


class Stub:
    """A gateway whose model answers after `wait_s`."""

    def __init__(self, folder: Path) -> None:
        self.wait_s, self.answers = 0.0, 0
        self.uploads = Uploads(folder)
        self.intake = SimpleNamespace(uploads=self.uploads)
        self.settings = SimpleNamespace(batches=SimpleNamespace(parallel=2, busy_above=0, max_lines=100))
        self.readiness = SimpleNamespace(draining=False)
        self.in_flight = 0
        self.fails: BackendFailed | None = None
        self.calls: list[Call] = []

    async def prepare(self, exchange: Any) -> Any:
        return exchange

    async def perform(self, exchange: Any, headers: Any) -> Any:
        self.answers += 1
        if self.fails is not None:
            raise self.fails
        await asyncio.sleep(self.wait_s)
        return exchange, Reply(200, (), b"{}")

    def over(self, exchange: Any, outcome: Any) -> None:
        self.calls += exchange.calls

    def by_name(self, name: str) -> ClientKey:
        return ClientKey(name)

    async def count(self, key: ClientKey) -> None:
        pass


def runner_of(stub: Any, batches: BatchStore) -> BatchRunner:
    return BatchRunner(stub, stub, batches, {ENDPOINT: lambda raw, _: Ask(Endpoint.CHAT, "m", raw)})


def begin(folder: Path, batches: BatchStore, name: str, lines: int = 1, owner: str = "me") -> str:
    line = {"method": "POST", "url": ENDPOINT, "body": {}}
    text = "\n".join(json.dumps({"custom_id": f"{name}-{number}", **line}) for number in range(lines))
    (folder / name).write_text(text)
    return batches.create(owner, ENDPOINT, name, {}, 20)


async def status_of(batches: BatchStore, id: str, status: str) -> bool:
    for _ in range(500):
        batch = batches.get(id)
        assert batch is not None
        if batch.status == status:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_no_other_worker_takes_a_batch_whose_last_lines_are_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RENEW_S", 0.05)
    monkeypatch.setattr(store, "LEASE_S", 0.3)
    stub, batches = Stub(tmp_path), BatchStore(tmp_path / "batches.sqlite3")
    stub.wait_s = 1.0
    id = begin(tmp_path, batches, "slow")
    task = asyncio.create_task(runner_of(stub, batches).run())
    try:
        assert await status_of(batches, id, "in_progress")
        await asyncio.sleep(0.6)
        assert batches.take("another worker") is None
        assert await status_of(batches, id, "completed")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert stub.answers == 1


async def test_a_batch_that_cannot_be_ended_does_not_hold_the_others_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "LOOK_S", 0.02)
    stub, batches = Stub(tmp_path), BatchStore(tmp_path / "batches.sqlite3")
    stub.uploads.fails = True
    first, second = begin(tmp_path, batches, "first"), begin(tmp_path, batches, "second")
    task = asyncio.create_task(runner_of(stub, batches).run())
    try:
        assert await status_of(batches, second, "completed")
        assert await status_of(batches, first, "finalizing")
        stub.uploads.fails = False
        batches.postpone(first, 0.0)
        assert await status_of(batches, first, "completed")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_result_is_one_line_however_the_backend_writes_its_json() -> None:
    line = result("a", "fw-1", 200, b'{\r\n  "choices": [\n    {"text": "a\\nb"}\n  ]\r}')

    assert len(line.splitlines()) == 1
    assert json.loads(line)["response"]["body"] == {"choices": [{"text": "a\nb"}]}


async def test_a_draining_worker_leaves_batches_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "RENEW_S", 0.02)
    monkeypatch.setattr(run, "BUSY_S", 0.01)
    stub, batches = Stub(tmp_path), BatchStore(tmp_path / "batches.sqlite3")
    stub.wait_s = 60.0
    id = begin(tmp_path, batches, "slow")
    task = asyncio.create_task(runner_of(stub, batches).run())
    assert await status_of(batches, id, "in_progress")
    stub.readiness.draining = True
    await asyncio.wait_for(task, 10)

    taken = batches.take("another worker")
    assert taken is not None and taken.id == id


async def test_the_paid_calls_of_a_line_that_failed_are_recorded(tmp_path: Path) -> None:
    stub, batches = Stub(tmp_path), BatchStore(tmp_path / "batches.sqlite3")
    stub.fails = BackendFailed("The last of several calls failed.")
    stub.fails.status = 418  # none that is tried again
    stub.fails.calls = (Call("m"),)
    id = begin(tmp_path, batches, "line")
    task = asyncio.create_task(runner_of(stub, batches).run())
    try:
        assert await status_of(batches, id, "completed")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert stub.calls == [Call("m")]


async def test_the_texts_of_a_batch_that_has_ended_are_in_its_files_alone(tmp_path: Path) -> None:
    stub, batches = Stub(tmp_path), BatchStore(tmp_path / "batches.sqlite3")
    id = begin(tmp_path, batches, "kept", 3)
    task = asyncio.create_task(runner_of(stub, batches).run())
    try:
        assert await status_of(batches, id, "completed")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    batch = batches.get(id)
    assert batch is not None and (batch.completed, batch.failed) == (3, 0)
    assert batches.write(id, True, tmp_path / "again") == 3
    assert (tmp_path / "again").read_bytes().strip() == b""


def test_a_locked_file_is_told_as_an_outage_that_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PATIENCE_S", 0.01)
    file = tmp_path / "batches.sqlite3"
    batches = BatchStore(file)
    batches.get("none")
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(NotReady) as told:
            batches.create("me", ENDPOINT, "file", {}, 20)
        other.execute("ROLLBACK")
    other.close()
    assert "locked" in told.value.message and str(tmp_path) not in told.value.message


async def test_a_long_batch_of_one_key_does_not_keep_another_key_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "TURN_S", 0.05)
    monkeypatch.setattr(run, "RENEW_S", 0.02)
    monkeypatch.setattr(run, "LOOK_S", 0.01)
    stub, batches = Stub(tmp_path), BatchStore(tmp_path / "batches.sqlite3")
    stub.wait_s = 0.02
    long = [begin(tmp_path, batches, name, 14, "one") for name in ("first", "second")]
    task = asyncio.create_task(runner_of(stub, batches).run())
    try:
        assert await status_of(batches, long[0], "in_progress")
        short = begin(tmp_path, batches, "short", 1, "other")
        assert await status_of(batches, short, "completed")
        later = [batches.get(id) for id in long]
        assert [one.status for one in later if one is not None] == ["in_progress", "validating"]
        for id in long:
            assert await status_of(batches, id, "completed")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert stub.answers == 29
