"""Limits how many requests an engine runs, and how many tokens they need in its cache.

llama.cpp breaks off all running answers when its cache overflows. So a request waits until its longest possible answer
fits into the cache beside the running requests.
"""

import asyncio
from collections import deque


class EngineRoom:
    """Gives slots and tokens to requests in the order of their arrival. An instance belongs to one event loop."""

    def __init__(self, slots: int, tokens: int) -> None:
        self._slots = slots
        self._free = self.tokens = tokens
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def take(self, tokens: int) -> None:
        """Wait for a slot and for `tokens` tokens. `tokens` must not exceed the whole cache. The caller returns the
        slot and the tokens with `give(tokens)`.
        """
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
