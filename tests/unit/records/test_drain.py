import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.errors import DatabaseFailed, NotFound, NotReady
from gateway.ports import Answer
from gateway.records.archive import RecordArchive, as_json
from gateway.records.database import Database, ExchangeFilter
from gateway.records.drain import Drain
from gateway.records.feedback import Feedback
from gateway.records.policy import hashed_record
from gateway.records.schema import record_of
from gateway.records.segments import segments
from gateway.records.spool import Spool
from gateway.wire.chat.answer import read_answer
from tests.doubles.exchanges import an_exchange, an_outcome

APP = ClientKey("app")


class Switch:
    """A database factory that can be down."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'records.db'}"
        self.down = False
        self.tried = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> Database:
        self._loop.call_soon_threadsafe(self.tried.set)
        if self.down:
            raise DatabaseFailed("down for the test")
        return Database.open(self.url)


@pytest.fixture
async def switch(tmp_path: Path) -> Switch:
    return Switch(tmp_path)


@asynccontextmanager
async def draining(spool: Spool, switch: Switch, **options: float) -> AsyncIterator[Drain]:
    drain = Drain(spool, switch, read_answer, **options)
    try:
        yield drain
    finally:
        await drain.aclose()


@pytest.fixture
def database(switch: Switch) -> Iterator[Database]:
    database = switch()
    yield database
    database.close()


async def test_a_flush_brings_every_recorded_exchange_with_its_answer_into_the_database(
    spool: Spool, switch: Switch, database: Database
) -> None:
    async with draining(spool, switch) as drain:
        for number in range(450):
            spool.record(an_exchange(f"ex-{number}"), an_outcome())
        await drain.flush()

        assert len(database.find(ExchangeFilter(limit=1000))) == 450 == drain.inserted
        expected = replace(
            record_of(an_exchange("ex-449"), an_outcome(), "full"), answer=Answer("The secret answer.", "stop", 7, 3)
        )
        assert database.get("ex-449") == expected
        assert segments(spool.folder) == []
        assert spool.bytes == 0


async def test_the_background_task_drains_by_itself_once_the_database_is_there(spool: Spool, switch: Switch) -> None:
    read, loop = asyncio.Event(), asyncio.get_running_loop()

    def telling(body: bytes, content_type: str, encoding: str) -> Answer:
        loop.call_soon_threadsafe(read.set)
        return read_answer(body, content_type, encoding)

    switch.down = True
    drain = Drain(spool, switch, telling, interval_s=0.001)
    task = asyncio.create_task(drain.run())
    spool.record(an_exchange(), an_outcome())
    async with asyncio.timeout(20):
        await switch.tried.wait()
        switch.down = False
        await read.wait()
        await drain.flush()  # behind the drain that read it

    record = await drain.ask(lambda database: database.get("ex-1"))

    assert record is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await drain.aclose()


async def test_what_a_dead_process_left_is_read_once_its_torn_end_skipped(
    tmp_path: Path, switch: Switch, database: Database
) -> None:
    dead = Spool(tmp_path / "spool", "full", read_answer=read_answer)
    dead.record(an_exchange("whole"), an_outcome())
    dead.record(an_exchange("torn"), an_outcome())
    dead.close()
    (path,) = segments(dead.folder)
    path.write_bytes(path.read_bytes()[:-1])

    async with draining(Spool(tmp_path / "spool", "full", read_answer=read_answer), switch) as drain:
        await drain.flush()

        assert [one.id for one in database.find(ExchangeFilter())] == ["whole"]
        assert (drain.unreadable, segments(dead.folder)) == (0, [])


async def test_a_segment_read_twice_is_stored_once(
    tmp_path: Path, spool: Spool, switch: Switch, database: Database
) -> None:
    spool.record(an_exchange(), an_outcome())
    (path,) = segments(spool.folder)
    copy = path.read_bytes()
    async with draining(spool, switch) as drain:
        await drain.flush()
        path.write_bytes(copy)
        await drain.flush()

        assert [one.id for one in database.find(ExchangeFilter())] == ["ex-1"]
        assert drain.inserted == 1


async def test_a_damaged_segment_gives_what_is_whole_and_is_kept_aside(
    spool: Spool, switch: Switch, database: Database
) -> None:
    spool.record(an_exchange("whole"), an_outcome())
    whole = spool.bytes
    spool.record(an_exchange("spoiled"), an_outcome())
    (path,) = segments(spool.folder)
    data = bytearray(path.read_bytes())
    data[whole + 20] ^= 1
    path.write_bytes(data)

    async with draining(spool, switch) as drain:
        await drain.flush()

        assert [one.id for one in database.find(ExchangeFilter())] == ["whole"]
        assert drain.unreadable == 1
        assert [path.suffix for path in spool.folder.iterdir()] == [".damaged"]


async def test_a_segment_that_somebody_deleted_does_not_stop_those_after_it(
    spool: Spool, switch: Switch, database: Database
) -> None:
    spool.record(an_exchange("gone"), an_outcome())
    spool.rotate()
    for path in segments(spool.folder):
        path.unlink()
    spool.record(an_exchange("there"), an_outcome())

    async with draining(spool, switch) as drain:
        await drain.flush()

    assert [one.id for one in database.find(ExchangeFilter())] == ["there"]


async def test_a_dead_database_keeps_everything_in_the_spool_until_it_is_back(
    spool: Spool, switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    switch.down = True
    async with draining(spool, switch) as drain:
        for number in range(3):
            spool.record(an_exchange(f"ex-{number}"), an_outcome())
            with pytest.raises(DatabaseFailed):
                await drain.flush()

        assert (drain.failing, spool.dropped) == ("down for the test", 0)
        assert spool.bytes == sum(path.stat().st_size for path in segments(spool.folder)) > 0
        assert len(segments(spool.folder)) == 2
        assert len(caplog.records) == 1

        switch.down = False
        await drain.flush()

        assert (drain.failing, spool.bytes, drain.inserted) == ("", 0, 3)


async def test_shutting_down_while_the_database_is_down_leaves_the_spool_to_the_next_process(
    tmp_path: Path, spool: Spool, switch: Switch, database: Database
) -> None:
    switch.down = True
    async with draining(spool, switch):
        spool.record(an_exchange(), an_outcome())
    switch.down = False

    async with draining(Spool(tmp_path / "spool", "full", read_answer=read_answer), switch) as next_one:
        await next_one.flush()

    assert database.get("ex-1") is not None


async def test_exchanges_older_than_the_retention_go(spool: Spool, switch: Switch, database: Database) -> None:
    day = 86400.0
    now = an_exchange().started_s + 10 * day
    spool.record(an_exchange("old"), an_outcome())
    spool.record(replace(an_exchange("new"), started_s=now - day), an_outcome())
    drain = Drain(spool, switch, read_answer, retention_days=5, clock=lambda: now)

    await drain.flush()
    await drain.aclose()

    assert [one.id for one in database.find(ExchangeFilter())] == ["new"]


async def test_a_clock_that_jumps_while_the_drain_runs_deletes_nothing(
    spool: Spool, switch: Switch, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    day = 86400.0
    now, up = an_exchange().started_s, 0.0
    drain = Drain(spool, switch, read_answer, retention_days=30, clock=lambda: now, uptime=lambda: up)
    spool.record(an_exchange("before"), an_outcome())
    await drain.flush()

    now += 40 * day
    up += 3601
    spool.record(replace(an_exchange("after"), started_s=now), an_outcome())
    await drain.flush()
    await drain.aclose()

    assert {one.id for one in database.find(ExchangeFilter())} == {"before", "after"}
    assert "the clock jumped" in caplog.text


async def test_an_exchange_can_be_read_and_commented_as_soon_as_it_is_recorded(spool: Spool, switch: Switch) -> None:
    async with draining(spool, switch) as drain:
        archive = RecordArchive(drain, clock=lambda: 5.0)
        spool.record(an_exchange(), an_outcome())

        first = await archive.add(Feedback("ex-1", 0.0, comment="wrong"), APP)
        second = await archive.add(Feedback("ex-1", answer="No."), APP)

        entry = await archive.get("ex-1", APP)
        assert entry.feedback == (first, second)
        assert first == Feedback("ex-1", 0.0, comment="wrong", key="app", time_s=5.0)
        assert b'"sent":[{"role":"system"' in as_json(entry)


@pytest.mark.parametrize(("id", "key"), [("ex-1", ClientKey("other")), ("ex-2", APP)])
async def test_what_a_key_may_not_see_does_not_exist_for_it(
    spool: Spool, switch: Switch, id: str, key: ClientKey
) -> None:
    async with draining(spool, switch) as drain:
        archive = RecordArchive(drain)
        spool.record(an_exchange(), an_outcome())

        with pytest.raises(NotFound):
            await archive.get(id, key)
        with pytest.raises(NotFound):
            await archive.add(Feedback(id, 1.0), key)


async def test_an_exchange_that_another_worker_has_not_drained_yet_is_waited_for(
    tmp_path: Path, spool: Spool, switch: Switch
) -> None:
    other = Spool(tmp_path / "spool", "full", read_answer=read_answer)
    async with draining(spool, switch) as mine, draining(other, switch) as theirs:
        other.record(an_exchange(), an_outcome())
        looking = asyncio.create_task(RecordArchive(mine, patience_s=5).get("ex-1", APP))
        await mine.flush()
        await theirs.flush()

        assert (await looking).record.id == "ex-1"


async def test_reading_while_the_database_is_down_says_so_without_its_address(spool: Spool, switch: Switch) -> None:
    switch.down = True
    async with draining(spool, switch) as drain:
        with pytest.raises(NotReady) as refused:
            await RecordArchive(drain).get("ex-1", APP)

    assert "down for the test" not in refused.value.message


async def test_a_locked_database_is_reported_in_time_and_what_was_refused_is_not_stored_later(
    tmp_path: Path, spool: Spool, switch: Switch, database: Database
) -> None:
    async with draining(spool, switch) as drain:
        archive = RecordArchive(drain, answer_s=0.1)
        spool.record(an_exchange(), an_outcome())
        await drain.flush()
        lock = sqlite3.connect(tmp_path / "records.db", isolation_level=None, check_same_thread=False)
        lock.execute("BEGIN EXCLUSIVE")

        assert (await archive.get("ex-1", APP)).record.id == "ex-1"
        started = asyncio.get_running_loop().time()
        with pytest.raises(NotReady) as waiting:
            await archive.add(Feedback("ex-1", 1.0), APP)
        with pytest.raises(NotReady):
            await archive.add(Feedback("ex-1", 0.5), APP)
        with pytest.raises(NotReady):
            await archive.get("ex-unknown", APP)
        assert asyncio.get_running_loop().time() - started < 2
        spool.record(an_exchange("ex-2"), an_outcome())
        lock.close()

        assert waiting.value.retry_after_s
        await drain.flush()
        scores = [one.score for one in (await RecordArchive(drain).get("ex-1", APP)).feedback]
        assert 0.5 not in scores
        assert database.get("ex-2") is not None


async def test_of_an_erased_exchange_the_figures_stay(spool: Spool, switch: Switch) -> None:
    async with draining(spool, switch) as drain:
        archive = RecordArchive(drain, clock=lambda: 5.0)
        spool.record(an_exchange(), an_outcome())
        before = (await archive.get("ex-1", APP)).record
        await archive.add(Feedback("ex-1", 0.0, "bad", "the comment"), APP)
        with pytest.raises(NotFound):
            await archive.erase("ex-1", ClientKey("other"))

        await archive.erase("ex-1", APP)

        entry = await archive.get("ex-1", APP)
        assert entry.record == replace(hashed_record(before), policy="hashed")
        assert entry.feedback == (Feedback("ex-1", 0.0, "bad", key="app", time_s=5.0),)
