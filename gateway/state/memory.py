"""Keeps the hot state of one process in dictionaries, without locks: only the event loop writes them."""

from collections.abc import Callable
from time import monotonic

from msgspec import Struct

from gateway.registry import AdapterKind

SWEEP_AT = 10_000
"""At this number of blocked keys, expired blocks are removed before another key is blocked."""


class MemorySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[state] kind = "memory"`, for a single worker."""


class MemoryState:
    """Counts events in fixed time windows, and blocks keys for a time. `clock` returns the time in seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[float, int]] = {}
        self._blocks: dict[str, float] = {}
        self._sweep_at = SWEEP_AT

    async def hit(self, key: str, limit: int, window_s: float) -> float:
        now = self._clock()
        ends, count = self._counts.get(key, (0.0, 0))
        if ends <= now:
            ends, count = now + window_s, 0
        if count >= limit:
            return ends - now
        self._counts[key] = (ends, count + 1)
        return 0.0

    async def block(self, key: str, for_s: float) -> None:
        now = self._clock()
        if len(self._blocks) >= self._sweep_at:
            self._blocks = {name: until for name, until in self._blocks.items() if until > now}
            self._sweep_at = max(SWEEP_AT, 2 * len(self._blocks))
        self._blocks[key] = now + for_s

    async def blocked(self, key: str) -> float:
        until = self._blocks.get(key)
        if until is None:
            return 0.0
        left = until - self._clock()
        if left <= 0:
            del self._blocks[key]
            return 0.0
        return left

    async def aclose(self) -> None:
        return None


KIND = AdapterKind(MemorySettings, lambda _name, _settings, _parts: MemoryState())
