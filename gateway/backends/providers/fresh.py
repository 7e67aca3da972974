"""Keeps a value that expires, such as a token, and fetches it again before it expires."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from gateway.errors import BackendFailed

log = logging.getLogger("foreword.credentials")

Value = TypeVar("Value")
EARLY_S = 300.0
"""A value is fetched again this long before it expires. Requests use the old value until the new one has arrived."""
AGAIN_S = 10.0
"""After a failure, a value that has not expired is fetched again after this time at the earliest."""

PAUSE_S = 1.0
"""Without a value, a failure holds for this time: requests get the same error, and the source is not asked again."""


class NoCredentials(BackendFailed):
    """The token or the keys for a backend cannot be fetched."""

    code = "credentials_failed"


class Fresh(Generic[Value]):
    """A value that is fetched on a worker thread, and shared by all requests.

    `fetch` returns the value and the time at which it expires, in seconds since 1970. It may block, and may raise any
    error: `what` names the value in the error that requests get, and the operator's log has the reason.
    """

    def __init__(
        self, fetch: Callable[[], tuple[Value, float]], what: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._fetch = fetch
        self._what = what
        self._clock = clock
        self._value: Value | None = None
        self._expires_s = 0.0
        self._stale_at_s = 0.0
        self._again_at_s = 0.0
        self._failed: NoCredentials | None = None
        self._failed_until_s = 0.0
        self._running: asyncio.Task[Value] | None = None

    async def get(self) -> Value:
        """Return a value that has not expired. Raises `NoCredentials`."""
        now = self._clock()
        if self._value is not None and now < self._stale_at_s:
            return self._value
        if self._value is not None and now < self._expires_s:
            if now >= self._again_at_s:
                self._refresh()
            return self._value
        if self._failed is not None and now < self._failed_until_s:
            raise self._failed.with_traceback(None)
        # shielded, because other requests wait for the same value
        return await asyncio.shield(self._refresh())

    def drop(self) -> None:
        """Forget the value, because the server has refused it. The next request fetches another one."""
        if self._clock() >= self._again_at_s:
            self._again_at_s = self._clock() + AGAIN_S
            self._value = None

    def _refresh(self) -> "asyncio.Task[Value]":
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._fetched())
            # a background task whose error nobody awaits would be reported as unhandled
            self._running.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._running

    async def _fetched(self) -> Value:
        try:
            value, expires_s = await asyncio.to_thread(self._fetch)
        except Exception as error:  # the libraries that fetch have errors of their own
            self._again_at_s = self._clock() + AGAIN_S
            log.warning("no %s", self._what, extra={"error": f"{type(error).__name__}: {str(error)[:300]}"})
            self._failed = NoCredentials(f"The {self._what} cannot be fetched ({type(error).__name__}).")
            self._failed_until_s = self._clock() + PAUSE_S
            raise self._failed from error
        now, self._failed = self._clock(), None
        self._value, self._expires_s = value, expires_s
        # a short-lived value is used for half of its time
        self._stale_at_s = max(expires_s - EARLY_S, now + (expires_s - now) / 2)
        return value
