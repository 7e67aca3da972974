"""One record that the database can never take does not keep back those behind it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import DatabaseFailed, RecordRefused
from gateway.records.database import Database, ExchangeFilter
from gateway.records.drain import Drain
from gateway.records.quarantine import Quarantine
from gateway.records.segment_reader import SegmentReader
from gateway.records.segments import segments
from gateway.records.spool import Spool
from gateway.wire.chat.answer import read_answer
from tests.doubles.exchanges import BODY, an_exchange, an_outcome

LIMIT = 60_000
"""Bytes of a value that the database of these tests takes; SQLite's own limit is a thousand million."""
TOO_LARGE = BODY.replace(b"The secret answer.", b"x" * 2 * LIMIT)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], Database]:
    from sqlalchemy import event

    def limited(connection: Any, _record: Any) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LIMIT)

    def opening() -> Database:
        database = Database.open(f"sqlite:///{tmp_path / 'records.db'}")
        event.listen(database._engine, "connect", limited)
        database._engine.dispose()
        return database

    return opening


async def test_a_record_over_the_databases_limit_is_set_aside_and_the_rest_goes_on(
    spool: Spool, opened: Callable[[], Database]
) -> None:
    for number in range(5):
        spool.record(an_exchange(f"ex-{number}"), an_outcome(TOO_LARGE if number == 2 else BODY))
    drain = Drain(spool, opened, read_answer)

    await drain.flush()
    spool.record(an_exchange("later"), an_outcome())
    await drain.flush()

    assert (drain.failing, drain.inserted, drain.quarantined, drain.unreadable) == ("", 5, 1, 0)
    stored = await drain.ask(lambda database: {one.id for one in database.find(ExchangeFilter())})
    assert stored == {"ex-0", "ex-1", "ex-3", "ex-4", "later"}
    (file,) = (spool.folder / "quarantine").iterdir()
    assert b"ex-2" in file.read_bytes() and file.stat().st_mode & 0o777 == 0o600
    assert segments(spool.folder) == []
    await drain.aclose()


async def test_a_poisoned_segment_that_a_dead_process_left_is_read_at_the_next_start(
    tmp_path: Path, opened: Callable[[], Database]
) -> None:
    dead = Spool(tmp_path / "spool", "full", read_answer=read_answer)
    dead.record(an_exchange("poison"), an_outcome(TOO_LARGE))
    dead.record(an_exchange("behind"), an_outcome())
    dead.close()
    database = opened()

    SegmentReader(read_answer).take_orphans(dead.folder, database)

    assert [one.id for one in database.find(ExchangeFilter())] == ["behind"]
    assert segments(dead.folder) == []
    database.close()


async def test_a_database_that_is_locked_sets_nothing_aside(
    tmp_path: Path, spool: Spool, opened: Callable[[], Database]
) -> None:
    opened().close()

    def impatient() -> Database:
        return Database.open(f"sqlite:///{tmp_path / 'records.db'}", wait_s=0.01)

    spool.record(an_exchange(), an_outcome())
    drain = Drain(spool, impatient, read_answer)
    lock = sqlite3.connect(tmp_path / "records.db", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseFailed) as failed:
        await drain.flush()
    assert not isinstance(failed.value, RecordRefused)
    lock.close()

    await drain.flush()

    assert (drain.inserted, drain.quarantined) == (1, 0)
    await drain.aclose()


@pytest.mark.parametrize("error", [OverflowError("BLOB longer than INT_MAX bytes"), MemoryError()])
def test_what_sqlite_raises_for_a_value_that_it_cannot_bind_blames_the_value(
    opened: Callable[[], Database], error: Exception
) -> None:
    from gateway.records.database import _translated

    with pytest.raises(RecordRefused), _translated():
        raise error


def test_a_quarantine_that_is_full_writes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.records.quarantine.LIMIT_BYTES", 10)
    quarantine = Quarantine(tmp_path)

    quarantine.add("small", memoryview(b"12345678"), "why")
    quarantine.add("more", memoryview(b"12345678"), "why")

    assert [file.name for file in quarantine.folder.iterdir()] == ["small.record"]


def test_batches_end_where_their_answers_grow_large(
    spool: Spool, opened: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.records.segment_reader.BATCH_BYTES", 3000)
    database = opened()
    sizes: list[int] = []
    enter = database.enter
    monkeypatch.setattr(database, "enter", lambda entries: sizes.append(len(entries)) or enter(entries))
    for number in range(9):
        spool.record(an_exchange(f"ex-{number}"), an_outcome())

    SegmentReader(read_answer).take(segments(spool.folder)[0], database)

    assert sum(sizes) == 9 and max(sizes) <= 4
    database.close()
