"""Decides which records are too old, even if the wall clock jumps."""

import time
from collections.abc import Callable

JUMP_S = 3 * 3600.0
"""A wall clock that runs ahead of the monotonic clock by more than this has been set by somebody. It is not trusted."""
TRUSTED_AFTER_S = 24 * 3600.0
"""Until this long after the start, the time of the newest record is trusted more than the wall clock."""
SHARE, FEWEST = 0.1, 1000
"""One purge deletes at most a tenth of the records, or 1,000 records if that is more. A wrong clock can then be noticed
before all records are gone."""


def uptime_s() -> float:
    """Return the seconds of a clock that nobody can set. If the system supports it, the clock also runs while the
    machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Retention:
    """Computes the time before which records are too old.

    If the wall clock runs ahead of the monotonic clock by more than `JUMP_S`, the excess is ignored. On the first day,
    the computation starts from the time of the newest record. A process that starts with a fast clock therefore does
    not delete recent records.
    """

    def __init__(
        self,
        retention_s: float,
        newest_s: float,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = uptime_s,
    ) -> None:
        """`newest_s` is the time of the newest record in seconds since 1970, or 0.0 if there are no records."""
        self._retention_s = retention_s
        self._newest_s = newest_s
        self._clock = clock
        self._uptime = uptime
        self._start_s = clock()
        self._start_uptime_s = uptime()

    def before_s(self) -> float:
        """Return the time before which records are too old, in seconds since 1970."""
        up_s = self._uptime() - self._start_uptime_s
        start_s = self._start_s
        if self._newest_s and up_s < TRUSTED_AFTER_S:
            start_s = min(start_s, self._newest_s)
        return min(self._clock(), start_s + up_s + JUMP_S) - self._retention_s

    def jump_s(self) -> float:
        """Return how many seconds the wall clock has jumped ahead since the start. Return 0.0 for a jump of up to
        `JUMP_S`."""
        up_s = self._uptime() - self._start_uptime_s
        ahead_s = self._clock() - self._start_s - up_s
        return ahead_s if ahead_s > JUMP_S else 0.0


def most_at_once(records: int) -> int:
    """Return how many of `records` records one purge may delete."""
    return max(FEWEST, int(SHARE * records))
