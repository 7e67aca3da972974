"""A clock that is wrong deletes nothing; one that is right deletes what is too old."""

from gateway.records.retention import JUMP_S, Retention, most_at_once

DAY_S = 86400.0
NOW_S = 1_800_000_000.0


class Clocks:
    """A wall clock that a test sets, and an uptime that only passes."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.now_s = now_s
        self.up_s = 500.0

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.up_s += seconds

    def retention(self, newest_s: float) -> Retention:
        return Retention(30 * DAY_S, newest_s, lambda: self.now_s, lambda: self.up_s)


def test_with_a_right_clock_the_retention_counts_from_now() -> None:
    clocks = Clocks()
    retention = clocks.retention(newest_s=NOW_S - 60)
    clocks.passes(10 * DAY_S)
    assert retention.before_s() == clocks.now_s - 30 * DAY_S
    assert retention.jump_s() == 0.0


def test_a_jump_ahead_is_refused_however_long_it_lasts() -> None:
    clocks = Clocks()
    retention = clocks.retention(newest_s=NOW_S)
    clocks.now_s += 40 * DAY_S
    clocks.passes(DAY_S)
    assert retention.before_s() <= NOW_S + DAY_S + JUMP_S - 30 * DAY_S
    assert retention.jump_s() == 40 * DAY_S


def test_a_jump_back_deletes_less() -> None:
    clocks = Clocks()
    retention = clocks.retention(newest_s=NOW_S)
    clocks.now_s -= DAY_S
    assert retention.before_s() == NOW_S - 31 * DAY_S


def test_a_process_that_starts_with_its_clock_in_the_future_counts_from_the_newest_record() -> None:
    clocks = Clocks(NOW_S + 40 * DAY_S)
    retention = clocks.retention(newest_s=NOW_S)
    clocks.passes(3600)
    assert retention.before_s() <= NOW_S + 3600 + JUMP_S - 30 * DAY_S


def test_after_a_day_a_long_pause_is_believed() -> None:
    clocks = Clocks()
    retention = clocks.retention(newest_s=NOW_S - 20 * DAY_S)
    clocks.passes(DAY_S)
    assert retention.before_s() == clocks.now_s - 30 * DAY_S


def test_one_purge_takes_a_tenth_at_most() -> None:
    assert [most_at_once(records) for records in (0, 5_000, 50_000)] == [1000, 1000, 5000]
