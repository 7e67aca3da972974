"""Slots and tokens of an engine's one cache."""

import asyncio

from gateway.backends.local.room import EngineRoom


async def started(room: EngineRoom, tokens: int) -> "asyncio.Task[None]":
    task = asyncio.create_task(room.take(tokens))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_who_fits_goes_in_and_who_does_not_waits() -> None:
    room = EngineRoom(slots=3, tokens=100)
    first, second, third = [await started(room, tokens) for tokens in (60, 60, 30)]
    assert [task.done() for task in (first, second, third)] == [True, False, False]
    assert room.waiting == 2
    room.give(60)
    await asyncio.gather(second, third)
    assert room.waiting == 0


async def test_slots_are_counted_beside_tokens() -> None:
    room = EngineRoom(slots=1, tokens=100)
    first, second = [await started(room, 1) for _ in range(2)]
    assert (first.done(), second.done()) == (True, False)
    room.give(1)
    await second


async def test_who_leaves_the_queue_lets_the_next_in() -> None:
    room = EngineRoom(slots=3, tokens=100)
    _, large, small = [await started(room, tokens) for tokens in (50, 100, 50)]
    large.cancel()
    await asyncio.gather(large, return_exceptions=True)
    async with asyncio.timeout(5):
        await small


async def test_who_leaves_with_a_place_just_given_gives_it_back() -> None:
    room = EngineRoom(slots=1, tokens=100)
    _, second = await started(room, 100), await started(room, 100)
    room.give(100)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    async with asyncio.timeout(5):
        await room.take(100)
