"""Keeps the hot state in Redis, shared by all workers and machines. Each operation is one atomic step."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from gateway.errors import Problem
from gateway.registry import AdapterKind
from gateway.settings.numbers import Seconds
from gateway.settings.web_address import split_url
from gateway.state.outage import GuardedState

# a window starts with its first hit; hits over the limit are not counted
HIT = """
local left = redis.call('PTTL', KEYS[1])
local count = tonumber(redis.call('GET', KEYS[1]) or '0')
if left < 0 then
  redis.call('SET', KEYS[1], 1, 'PX', ARGV[2])
  return 0
end
if count >= tonumber(ARGV[1]) then return left end
redis.call('INCR', KEYS[1])
return 0
"""


class RedisSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[state] kind = "redis"`, for several workers or machines."""

    url: str
    """For example `redis://127.0.0.1:6379/0`. Use `env:NAME` to keep a password out of the file."""
    prefix: str = "foreword:"
    timeout_s: Seconds = 0.5
    """How long the first request waits if Redis does not answer. Until Redis is back, later requests do not wait."""
    fail: Literal["open", "closed"] = "open"
    """What happens while Redis is gone. `open` answers requests without enforcing `requests_per_minute`; `closed`
    answers 503 to keys with that limit."""


class RedisState:
    """Counts events and blocks keys in Redis. Owns the connection pool."""

    def __init__(self, settings: RedisSettings) -> None:
        # imported here, so that a gateway without Redis does not load the client
        import redis.asyncio as client

        self._prefix = settings.prefix
        self._redis: Any = client.Redis.from_url(
            settings.url, socket_timeout=settings.timeout_s, socket_connect_timeout=settings.timeout_s
        )
        self._hit = self._redis.register_script(HIT)

    async def hit(self, key: str, limit: int, window_s: float) -> float:
        left = await self._hit(keys=[self._prefix + key], args=[limit, int(window_s * 1000)])
        return int(left) / 1000

    async def block(self, key: str, for_s: float) -> None:
        await self._redis.set(self._prefix + key, 1, px=int(for_s * 1000))

    async def blocked(self, key: str) -> float:
        left = await self._redis.pttl(self._prefix + key)
        return max(int(left), 0) / 1000

    async def aclose(self) -> None:
        await self._redis.aclose()


def _check(settings: RedisSettings, _root: Path) -> Iterable[Problem]:
    if split_url(settings.url).scheme not in ("redis", "rediss", "unix"):
        yield Problem("url", "must begin with redis://, rediss:// or unix://")


def _build(_name: str, settings: RedisSettings, _parts: object) -> GuardedState:
    return GuardedState(RedisState(settings), timeout_s=settings.timeout_s, closed=settings.fail == "closed")


KIND = AdapterKind(RedisSettings, _build, _check)
