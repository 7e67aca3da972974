"""Handles an outage of the shared state (Redis). The first request waits for the state, later requests do not.

A background task notices when the state is back. During an outage, no backend is in a cool-down. The setting `[state]
fail` decides whether requests of keys with a limit are answered or refused.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from gateway.errors import NotReady
from gateway.ports import HotState

log = logging.getLogger("foreword.state")

T = TypeVar("T")
RETRY_S = 1.0
SUSPECT = 0.5
"""Once a running operation has taken longer than this share of its time limit, new operations fail at once."""
PROBE = "probe"


class StateGone(Exception):
    """The shared state did not answer."""


class GuardedState:
    """Wraps another `HotState`. `gone` is True while the wrapped state seems unreachable."""

    def __init__(
        self,
        state: HotState,
        *,
        timeout_s: float,
        closed: bool = False,
        retry_s: float = RETRY_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """If `closed`, requests of keys with a limit are refused with 503 while the state is gone."""
        self.gone = False
        self.on_failure: Callable[[], None] = lambda: None
        """Called for each operation that the state did not answer."""
        self._state = state
        self._timeout_s = timeout_s
        self._closed = closed
        self._retry_s = retry_s
        self._clock = clock
        self._waiting_since = 0.0
        self._probing: asyncio.Task[None] | None = None

    async def hit(self, key: str, limit: int, window_s: float) -> float:
        """Like `HotState.hit`. While the state is gone, returns 0.0 or, if `closed`, raises `NotReady`."""
        try:
            return await self._guarded(lambda: self._state.hit(key, limit, window_s))
        except StateGone as error:
            if not self._closed:
                return 0.0
            text = "The gateway cannot check this key's limit at the moment. Try again."
            raise NotReady(text, code="limit_unknown", retry_after_s=self._retry_s) from error

    async def block(self, key: str, for_s: float) -> None:
        try:
            await self._guarded(lambda: self._state.block(key, for_s))
        except StateGone:
            return

    async def blocked(self, key: str) -> float:
        try:
            return await self._guarded(lambda: self._state.blocked(key))
        except StateGone:
            return 0.0

    async def aclose(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._state.aclose()

    async def _guarded(self, operation: Callable[[], Awaitable[T]]) -> T:
        began = self._clock()
        if self.gone or (self._waiting_since and began - self._waiting_since > self._timeout_s * SUSPECT):
            self.on_failure()
            raise StateGone
        self._waiting_since = self._waiting_since or began
        try:
            async with asyncio.timeout(self._timeout_s):
                result = await operation()
        except asyncio.CancelledError:  # the client has left; the state has not failed
            self._waiting_since = 0.0
            raise
        except Exception as error:  # every client library has its own errors; the first is logged
            self.on_failure()
            self._lose(error)
            raise StateGone from error
        self._waiting_since = 0.0
        return result

    def _lose(self, error: Exception) -> None:
        if self.gone:
            return
        self.gone = True
        without = "requests of keys with a limit are refused" if self._closed else "limits are not enforced"
        log.error("the shared state cannot be reached, and %s until it is back: %r", without, error)
        self._probing = asyncio.create_task(self._probe(), name="state probe")

    async def _probe(self) -> None:
        while self.gone:
            await asyncio.sleep(self._retry_s)
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._state.blocked(PROBE)
            except Exception as error:
                log.debug("the shared state still cannot be reached: %r", error)
                continue
            self.gone, self._waiting_since = False, 0.0
            log.warning("the shared state is back")
