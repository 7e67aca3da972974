"""Decides which records are too old, even if the wall clock has jumped."""

import time
from collections.abc import Callable

JUMP_S = 3 * 3600.0
"""If the wall clock gains more than this on the monotonic clock, somebody has set it, and it is no longer trusted."""
TRUSTED_AFTER_S = 24 * 3600.0
"""After the wall clock kept pace with the monotonic clock for this long, it is trusted more than the newest record."""
SHARE, FEWEST = 0.1, 1000
"""One purge deletes at most a tenth of the records, or a thousand if that is more. This leaves time to notice a wrong
clock."""


def uptime_s() -> float:
    """The seconds of a clock that cannot be set. They include the time during which the machine was suspended, if the
    operating system supports that."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Retention:
    """Computes the time before which records are too old.

    This time never advances faster than the monotonic clock. On the first day it is based on the newest record at the
    start, so a process whose clock is ahead at the start deletes nothing.
    """

    def __init__(
        self,
        retention_s: float,
        newest_s: float,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = uptime_s,
    ) -> None:
        """`newest_s` is the time of the newest record in seconds since 1970, or 0.0 if there is none."""
        self._retention_s = retention_s
        self._newest_s = newest_s
        self._clock = clock
        self._uptime = uptime
        self._start_s = clock()
        self._start_uptime_s = uptime()

    def before_s(self) -> float:
        """The time, in seconds since 1970, before which records are too old."""
        up_s = self._uptime() - self._start_uptime_s
        start_s = self._start_s
        if self._newest_s and up_s < TRUSTED_AFTER_S:
            start_s = min(start_s, self._newest_s)
        return min(self._clock(), start_s + up_s + JUMP_S) - self._retention_s

    def jump_s(self) -> float:
        """The number of seconds that the wall clock has jumped ahead since the start, or 0.0 if it has not."""
        up_s = self._uptime() - self._start_uptime_s
        ahead_s = self._clock() - self._start_s - up_s
        return ahead_s if ahead_s > JUMP_S else 0.0


def most_at_once(records: int) -> int:
    """The largest number of records that one purge may delete."""
    return max(FEWEST, int(SHARE * records))
