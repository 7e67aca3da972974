"""A server that ends its streams of changes is asked again, ever more rarely unless its streams last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.mcp import connect


class Honored:
    """What the server promises to tell."""

    tools_list_changed = True


class Subscription:
    """A stream of changes that ends after `lasts_s` of the test's clock."""

    honored = Honored()

    def __init__(self, clock: "Clock", lasts_s: float) -> None:
        self._clock, self._lasts_s = clock, lasts_s

    async def __aiter__(self) -> AsyncIterator[None]:
        self._clock.now_s += self._lasts_s
        return
        yield


class Clock:
    """Time that passes only while somebody sleeps or a stream lasts."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept.append(seconds)

    def monotonic(self) -> float:
        return self.now_s


class Server:
    """A client of a server whose streams last as long as `lasts_s` says, one after the other."""

    def __init__(self, clock: Clock, lasts_s: list[float | None]) -> None:
        self._clock, self._left = clock, lasts_s

    @asynccontextmanager
    async def listen(self, *, tools_list_changed: bool) -> AsyncIterator[Any]:
        assert tools_list_changed
        if not self._left:
            raise asyncio.CancelledError
        lasts_s = self._left.pop(0)
        if lasts_s is None:
            raise TimeoutError
        yield Subscription(self._clock, lasts_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(connect.asyncio, "sleep", made.sleep)
    monkeypatch.setattr(connect.time, "monotonic", made.monotonic)
    return made


async def pauses(clock: Clock, lasts_s: list[float | None]) -> list[float]:
    changes: list[None] = []
    server: Any = Server(clock, list(lasts_s))
    opened = len(lasts_s) - lasts_s.count(None)
    with pytest.raises(asyncio.CancelledError):
        await connect.listen(server, lambda: changes.append(None))
    # a change may have been missed before a stream opened, and during each pause
    assert len(changes) == opened + len(clock.slept)
    return clock.slept


async def test_a_server_that_ends_each_stream_at_once_is_asked_ever_more_rarely(clock: Clock) -> None:
    assert await pauses(clock, [0.0] * 9) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_stream_that_lasted_is_asked_for_after_a_second_again(clock: Clock) -> None:
    assert await pauses(clock, [0.0, 0.0, 300.0, 0.0, 0.0]) == [1, 2, 1, 2, 4]


async def test_a_server_that_does_not_answer_is_asked_ever_more_rarely(clock: Clock) -> None:
    assert await pauses(clock, [None, 300.0, None, None]) == [1, 1, 2, 4]
