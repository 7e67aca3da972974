"""One suite for every kind of hot state: in the process, and in a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.ports import HotState
from gateway.state.memory import MemoryState
from gateway.state.outage import GuardedState
from gateway.state.redis import RedisSettings, RedisState


@pytest.fixture(params=["memory", "redis", "guarded"])
async def state(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[HotState]:
    prefix = f"test:{request.node.name}:"
    # what is held to the contract is what it does, however long a busy machine takes
    patient = RedisSettings(redis_url, prefix, timeout_s=30)
    made: HotState = MemoryState() if request.param == "memory" else RedisState(patient)
    if request.param == "guarded":
        made = GuardedState(made, timeout_s=30)
    yield made
    await made.aclose()


async def test_hits_within_the_limit_are_free_and_the_next_one_waits(state: HotState) -> None:
    assert [await state.hit("a", 3, 60) for _ in range(3)] == [0.0, 0.0, 0.0]

    wait_s = await state.hit("a", 3, 60)

    assert 0 < wait_s <= 60


async def test_keys_do_not_share_their_counts(state: HotState) -> None:
    await state.hit("a", 1, 60)

    assert await state.hit("b", 1, 60) == 0.0


async def test_a_window_that_is_over_counts_no_more(state: HotState) -> None:
    await state.hit("a", 1, 0.05)
    wait_s = await state.hit("a", 1, 0.05)
    await asyncio.sleep(wait_s + 0.01)

    assert await state.hit("a", 1, 60) == 0.0


async def test_many_at_once_get_exactly_the_limit(state: HotState) -> None:
    waits = await asyncio.gather(*[state.hit("a", 10, 60) for _ in range(50)])

    assert sum(wait_s == 0.0 for wait_s in waits) == 10


async def test_a_block_ends_by_itself(state: HotState) -> None:
    await state.block("a", 0.4)
    left_s = await state.blocked("a")
    assert 0 < left_s <= 0.4
    assert await state.blocked("b") == 0.0
    await asyncio.sleep(0.41)

    assert await state.blocked("a") == 0.0


async def test_two_processes_share_one_redis(redis_url: str) -> None:
    one, other = (RedisState(RedisSettings(redis_url, "shared:")) for _ in range(2))
    await one.hit("a", 1, 60)

    assert await other.hit("a", 1, 60) > 0

    await one.aclose()
    await other.aclose()
