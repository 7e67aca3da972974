"""Notices that a client has left before its answer was complete, and cancels the task that makes the answer."""

import asyncio
from typing import Any, Protocol

from litestar.types import Receive

WATCH_AFTER_S = 0.05


class WatchedRun(Protocol):
    """The answer to a watched client. `left` is set when the client leaves."""

    left: bool


class ClientWatch:
    """Cancels the task `work` when the client leaves."""

    __slots__ = ("_of", "_task")

    def __init__(self, receive: Receive, run: WatchedRun, work: "asyncio.Task[Any]") -> None:
        self._of: tuple[Receive, WatchedRun, asyncio.Task[Any]] | None = (receive, run, work)
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        if self._of is not None:
            self._task = asyncio.create_task(self._look(*self._of))

    def end(self) -> None:
        self._of = None
        if self._task is not None:
            self._task.cancel()

    async def _look(self, receive: Receive, run: WatchedRun, work: "asyncio.Task[Any]") -> None:
        message: Any = await receive()
        while message["type"] != "http.disconnect":
            message = await receive()
        run.left = True
        work.cancel()


class ClientWatches:
    """Starts to watch each client after one to two times `WATCH_AFTER_S`.

    Most answers are complete by then, so their clients need no task. A task for each request would cost more CPU than
    the rest of the handler. One timer serves all clients.
    """

    def __init__(self) -> None:
        self._new: list[ClientWatch] = []
        self._older: list[ClientWatch] = []
        self._ticks = False

    def begin(self, receive: Receive, run: WatchedRun, work: "asyncio.Task[Any]") -> ClientWatch:
        watch = ClientWatch(receive, run, work)
        self._new.append(watch)
        if not self._ticks:
            self._ticks = True
            asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._tick)
        return watch

    def _tick(self) -> None:
        for watch in self._older:
            watch.begin()
        self._older, self._new = self._new, []
        self._ticks = bool(self._older)
        if self._ticks:
            asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._tick)
