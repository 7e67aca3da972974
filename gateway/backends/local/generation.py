"""Runs one blocking generation on a worker thread, while the event loop awaits its pieces."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from gateway.errors import BackendFailed

Callback = Callable[[bytes], bool]
"""Receives a piece, and returns True if the client is gone. An empty piece only asks whether the client is gone."""
Call = Callable[[bytes, Callback], None]


class Generation:
    """Runs `call(body, callback)` on a worker thread and passes on the pieces that the callback gets.

    A generation belongs to one event loop. The caller must read the generation to its end or call `cancel`, so that the
    thread becomes free. After `cancel`, the thread is free at the engine's next step.
    """

    def __init__(self, call: Call, body: bytes, pool: ThreadPoolExecutor, over: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._body = body
        self._over = over
        self._cancelled = False
        self._pieces: deque[bytes] = deque()
        self._failure: Exception | None = None
        self._finished = False
        self._news = asyncio.Event()
        pool.submit(self._run)

    async def next(self) -> bytes | None:
        """Return the next piece, or None at the end. Raises the engine's error, or `BackendFailed` after `cancel`."""
        while not self._pieces and not self._finished:
            self._news.clear()
            await self._news.wait()
        if self._pieces:
            return self._pieces.popleft()
        if self._failure is not None:
            raise self._failure
        if self._cancelled:
            raise BackendFailed("The engine was stopped.", code="engine_stopped")
        return None

    def cancel(self) -> None:
        self._cancelled = True
        self._pieces.clear()

    def _run(self) -> None:
        failure = None
        try:
            if not self._cancelled:
                self._call(self._body, self._hand_over)
        except Exception as error:
            failure = error
        self._tell(lambda: self._end(failure))

    def _hand_over(self, piece: bytes) -> bool:
        """Pass a piece to the event loop. Returns True after `cancel`, so that the engine stops."""
        if piece and not self._cancelled:
            self._tell(lambda: self._put(piece))
        return self._cancelled

    def _tell(self, what: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop is closed: no reader is left
            self._cancelled = True

    def _put(self, piece: bytes) -> None:
        if not self._cancelled:
            self._pieces.append(piece)
            self._news.set()

    def _end(self, failure: Exception | None) -> None:
        self._failure = failure
        self._finished = True
        self._news.set()
        self._over()
