"""Limits the number of requests that an engine runs, and the number of tokens that they need in its cache.

llama.cpp breaks off every running answer when its cache overflows. Therefore a request waits until its
longest possible answer fits together with the others.
"""

import asyncio
from collections import deque


class EngineRoom:
    """Assigns slots and tokens in the order in which requests arrive. It belongs to one event loop."""

    def __init__(self, slots: int, tokens: int) -> None:
        self._slots = slots
        self._free = self.tokens = tokens
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def take(self, tokens: int) -> None:
        """Wait for a slot and for `tokens` tokens of the cache, which must not exceed the whole cache. The caller later
        calls `give` with the same number."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((tokens, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(tokens)
            else:
                self._queue = deque(entry for entry in self._queue if entry[1] is not turn)
                self._admit()
            raise

    def give(self, tokens: int) -> None:
        self._slots += 1
        self._free += tokens
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._slots and self._queue[0][0] <= self._free:
            tokens, turn = self._queue.popleft()
            if turn.cancelled():
                continue
            self._slots -= 1
            self._free -= tokens
            turn.set_result(None)
