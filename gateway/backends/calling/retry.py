"""Decides what follows a failure: whether another backend may succeed, and whether and when the same backend is tried
again.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gateway.errors import RequestError
from gateway.ports import Headers, Reply

MOMENTARY = (429, 503, 529)
"""The statuses with which a server refuses a request before doing any work: Too Many Requests, Service Unavailable, and
Anthropic's Overloaded.
"""
REFUSALS = (501, 505)
"""The statuses Not Implemented and HTTP Version Not Supported. A server that sends one of them refuses the request, but
has not failed.
"""
FIRST_WAIT_S = 0.5
CREDIT = 10.0
"""The maximum number of retries that are saved up while nothing fails."""


def retry_after_s(headers: Headers, now: datetime | None = None) -> float | None:
    """Return the wait in seconds that the headers ask for, or None if they ask for none.

    `retry-after` is a number of seconds or a date (RFC 9110, 10.2.3). OpenAI also sends `retry-after-ms`.
    """
    values = {name: value.decode("latin-1").strip() for name, value in headers if name.startswith(b"retry-after")}
    for name, unit in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        try:
            seconds = float(values[name]) / unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        date = parsedate_to_datetime(values[b"retry-after"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


class Retries:
    """Limits the retries of one worker. Each request adds a share of a retry to a credit. Each retry takes 1 from the
    credit.
    """

    def __init__(
        self,
        most: int = 0,
        longest_wait_s: float = 10.0,
        share: float = 0.2,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._most = most
        self._longest_wait_s = longest_wait_s
        self._share = share
        self._chance = chance
        self._credit = CREDIT

    def earn(self) -> None:
        """Add one request's share of a retry to the credit."""
        self._credit = min(CREDIT, self._credit + self._share)

    def wait_s(self, number: int, outcome: Reply | RequestError) -> float | None:
        """Return the seconds to wait before a retry. Returns None if there is no retry; the client then gets `outcome`.

        `number` counts the earlier retries of the request.
        """
        if number >= self._most or self._credit < 1.0 or not is_momentary(outcome):
            return None
        asked = retry_after_s(outcome.headers) if isinstance(outcome, Reply) else outcome.retry_after_s or None
        backoff = FIRST_WAIT_S * 2**number
        # full jitter: clients that failed together must not come back together
        wait_s: float = (backoff if asked is None else 0.25) * self._chance() + (asked or 0.0)
        if wait_s > self._longest_wait_s:
            return None
        self._credit -= 1.0
        return wait_s


def is_failure(status: int) -> bool:
    """Whether another backend may succeed after a backend has answered with this status."""
    return (status >= 500 and status not in REFUSALS) or status in (408, 429)


def is_momentary(outcome: Reply | RequestError) -> bool:
    """Whether a server refused the request before doing any work, so that a retry cannot do the work twice."""
    if isinstance(outcome, Reply):
        return outcome.status in MOMENTARY
    return not outcome.taken and (outcome.status in MOMENTARY or outcome.code == "backend_unreachable")
