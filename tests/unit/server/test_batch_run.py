"""The execution of batches, with several workers and with failures, in front of a stub of a gateway."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.ask import Ask, ClientKey, Endpoint
from gateway.ports import Reply
from gateway.server.batches import run, store
from gateway.server.batches.run import BatchRunner
from gateway.server.batches.store import BatchStore

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

    async def prepare(self, exchange: Any) -> Any:
        return exchange

    async def perform(self, exchange: Any, headers: Any) -> Any:
        self.answers += 1
        await asyncio.sleep(self.wait_s)
        return exchange, Reply(200, (), b"{}")

    def over(self, exchange: Any, outcome: Any) -> None:
        pass

    def by_name(self, name: str) -> ClientKey:
        return ClientKey(name)

    async def count(self, key: ClientKey) -> None:
        pass


def runner_of(stub: Any, batches: BatchStore) -> BatchRunner:
    return BatchRunner(stub, stub, batches, {ENDPOINT: lambda raw, _: Ask(Endpoint.CHAT, "m", raw)})


def begin(folder: Path, batches: BatchStore, name: str, lines: int = 1) -> str:
    line = {"method": "POST", "url": ENDPOINT, "body": {}}
    text = "\n".join(json.dumps({"custom_id": f"{name}-{number}", **line}) for number in range(lines))
    (folder / name).write_text(text)
    return batches.create("me", ENDPOINT, name, {}, 20)


async def status_of(batches: BatchStore, id: str, status: str) -> bool:
    for _ in range(100):
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
