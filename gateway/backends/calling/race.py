"""Sends one request several times in parallel, and takes the first reply that is not a failure."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from gateway.backends.calling.retry import is_failure
from gateway.errors import RequestError
from gateway.ports import Reply


class Race:
    """Several attempts to send one request, which run at the same time.

    `aclose` cancels unfinished attempts, and closes unused replies.
    """

    def __init__(self, sendings: Iterable[Coroutine[Any, Any, Reply]]) -> None:
        self._running = {asyncio.ensure_future(sending) for sending in sendings}
        self._lost: list[Reply | RequestError] = []

    def add(self, sending: Coroutine[Any, Any, Reply]) -> None:
        self._running.add(asyncio.ensure_future(sending))

    async def first(self, wait_s: float | None = None) -> Reply | None:
        """Return the first reply that is not a failure, or None if there is no such reply after `wait_s`.

        If all attempts have failed, return the last failed reply or raise the last error. But if a backend had accepted
        the request, raise this backend's error, since the request must not be sent again.
        """
        deadline = None if wait_s is None else asyncio.get_running_loop().time() + wait_s
        while self._running:
            left_s = None if deadline is None else deadline - asyncio.get_running_loop().time()
            done, self._running = await asyncio.wait(self._running, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return None
            outcomes = [_outcome(task) for task in done]
            good = next(
                (reply for reply in outcomes if isinstance(reply, Reply) and not is_failure(reply.status)), None
            )
            self._lost += [outcome for outcome in outcomes if outcome is not good]
            if good is not None:
                return good
        for outcome in self._lost:
            if isinstance(outcome, RequestError) and outcome.taken:
                raise outcome
        last = self._lost.pop()
        if isinstance(last, Reply):
            return last
        raise last

    async def aclose(self) -> None:
        for task in self._running:
            task.cancel()
        unfinished, self._running = self._running, set()
        for result in await asyncio.gather(*unfinished, return_exceptions=True):
            if isinstance(result, Reply):
                await result.aclose()
        for outcome in self._lost:
            if isinstance(outcome, Reply):
                await outcome.aclose()
        self._lost.clear()


def _outcome(task: "asyncio.Future[Reply]") -> Reply | RequestError:
    """Return the reply or the `RequestError` of a finished attempt. Raises any other exception."""
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, RequestError):
        return error
    raise error
