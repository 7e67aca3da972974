import logging
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.exchange import Note
from gateway.records.frames import StoredFrame, stored, unpack
from gateway.records.schema import decode, record_of
from gateway.records.segments import claimed, segments
from gateway.records.spool import Spool
from gateway.wire.chat.answer import read_answer
from tests.doubles.exchanges import BODY, an_exchange, an_outcome


def spooled(folder: Path) -> list[StoredFrame]:
    return [stored(payload) for path in segments(folder) for payload in unpack(path.read_bytes())[0]]


def test_an_exchange_is_spooled_whole_with_the_replys_bytes_unread(spool: Spool) -> None:
    spool.record(an_exchange(), an_outcome())

    (frame,) = spooled(spool.folder)
    assert decode(frame.record) == record_of(an_exchange(), an_outcome(), "full")
    assert (frame.body, frame.content_type) == (BODY, "application/json")


def test_under_the_policy_none_nothing_touches_the_disk(spool: Spool) -> None:
    spool.record(an_exchange(key=ClientKey("app", record="none")), an_outcome())

    assert list(spool.folder.iterdir()) == []
    assert (spool.written, spool.dropped) == (0, 0)


def test_under_the_policy_hashed_no_text_touches_the_disk_but_the_usage_does(spool: Spool) -> None:
    spool.record(an_exchange(key=ClientKey("app", record="hashed")), an_outcome())

    (path,) = segments(spool.folder)
    assert b"secret" not in path.read_bytes()
    (frame,) = spooled(spool.folder)
    answer = decode(frame.record).answer
    assert (answer.prompt_tokens, answer.completion_tokens, answer.finish) == (7, 3, "stop")
    assert frame.body == b""


def test_the_keys_policy_beats_the_gateways(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "none", read_answer=read_answer)

    spool.record(an_exchange("a"), an_outcome())
    spool.record(an_exchange("b", key=ClientKey("app", record="full")), an_outcome())

    assert [decode(frame.record).id for frame in spooled(tmp_path)] == ["b"]


def test_segments_rotate_by_size_and_keep_the_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "full", read_answer=read_answer, segment_mb=0.01)

    for number in range(50):
        spool.record(an_exchange(f"ex-{number}"), an_outcome())

    assert len(segments(tmp_path)) > 3
    assert [decode(frame.record).id for frame in spooled(tmp_path)] == [f"ex-{number}" for number in range(50)]


def test_a_full_spool_keeps_the_old_and_counts_the_new(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path, "full", read_answer=read_answer, max_spool_mb=0.01)

    for number in range(50):
        spool.record(an_exchange(f"ex-{number}"), an_outcome())

    kept = [decode(frame.record).id for frame in spooled(tmp_path)]
    assert kept == [f"ex-{number}" for number in range(len(kept))]
    assert (spool.written, spool.dropped, spool.errors) == (len(kept), 50 - len(kept), 50 - len(kept))
    assert len(caplog.records) == 1


def test_what_is_left_from_before_counts_against_the_limit(tmp_path: Path) -> None:
    Spool(tmp_path, "full", read_answer=read_answer).record(an_exchange("old"), an_outcome())

    spool = Spool(tmp_path, "full", read_answer=read_answer, max_spool_mb=0.001)
    spool.record(an_exchange("new"), an_outcome())

    assert [decode(frame.record).id for frame in spooled(tmp_path)] == ["old"]


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """The kernel refuses longer files: first with a short write, then with an error, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_takes_half_a_frame_costs_that_frame_only(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    spool.record(an_exchange("before"), an_outcome())
    (path,) = segments(spool.folder)

    with files_no_longer_than(path.stat().st_size + 100):
        spool.record(an_exchange("during"), an_outcome())
        spool.record(an_exchange("still"), an_outcome())
    spool.record(an_exchange("after"), an_outcome())

    assert [decode(frame.record).id for frame in spooled(spool.folder)] == ["before", "after"]
    assert (spool.written, spool.dropped, spool.errors) == (2, 2, 2)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_spool_folder_that_is_gone_fails_no_answer(spool: Spool) -> None:
    spool.folder.rmdir()

    spool.record(an_exchange(), an_outcome())

    assert (spool.dropped, spool.errors) == (1, 1)


def test_a_note_with_an_odd_value_costs_no_record(spool: Spool) -> None:
    exchange = replace(an_exchange(), notes=(Note("fit", "trimmed", data={"odd": object}),))

    spool.record(exchange, an_outcome())

    (frame,) = spooled(spool.folder)
    assert decode(frame.record).notes[0].data == {"odd": "<class 'object'>"}


def test_a_huge_body_is_spooled_without_its_raw_copy(spool: Spool) -> None:
    exchange = an_exchange()
    exchange = replace(exchange, ask=replace(exchange.ask, raw=b"x" * 100_000))

    spool.record(exchange, an_outcome())

    (frame,) = spooled(spool.folder)
    assert decode(frame.record).raw == b""


def test_a_segment_can_be_claimed_only_when_its_writer_is_gone(spool: Spool) -> None:
    spool.record(an_exchange(), an_outcome())
    (path,) = segments(spool.folder)

    with claimed(path) as while_written:
        assert not while_written
    spool.rotate()
    with claimed(path) as while_waiting:
        assert not while_waiting
    spool.close()
    with claimed(path) as afterwards, claimed(path) as by_another_at_once:
        assert (afterwards, by_another_at_once) == (True, False)
    path.unlink()
    with claimed(path) as when_gone:
        assert not when_gone


def test_only_the_owner_may_read_what_is_spooled(spool: Spool) -> None:
    spool.record(an_exchange(), an_outcome())

    (path,) = segments(spool.folder)
    assert path.stat().st_mode & 0o077 == 0
