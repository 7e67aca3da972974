"""Deployments that keep failing rest, and single requests test them."""

from gateway.backends.calling.breaker import Breaker
from gateway.exchange import Target
from gateway.state.memory import MemoryState

SICK = Target("sick", "m")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    return Breaker(MemoryState(clock), trip_after=2, rest_s=10.0, clock=clock)


async def tripped(clock: Clock) -> Breaker:
    breaker = opened(clock)
    await breaker.failed(SICK)
    assert not await breaker.skips(SICK)
    await breaker.failed(SICK)
    assert await breaker.skips(SICK)
    return breaker


async def test_after_its_rest_a_deployment_is_tested_by_one_request_at_a_time() -> None:
    clock = Clock()
    breaker = await tripped(clock)
    clock.now += 10.1

    assert [await breaker.skips(SICK) for _ in range(3)] == [False, True, True]


async def test_a_good_test_closes_the_circuit_for_all() -> None:
    clock = Clock()
    breaker = await tripped(clock)
    clock.now += 10.1
    await breaker.skips(SICK)

    breaker.succeeded(SICK)

    assert [await breaker.skips(SICK) for _ in range(3)] == [False, False, False]


async def test_each_failed_test_doubles_the_rest_up_to_two_minutes() -> None:
    clock = Clock()
    breaker = await tripped(clock)
    for rest_s in (20, 40, 80, 120, 120):
        clock.now += 121
        assert not await breaker.skips(SICK)
        await breaker.failed(SICK)
        clock.now += rest_s - 1
        assert await breaker.skips(SICK)
        clock.now += 1.1
        assert not await breaker.skips(SICK)
        breaker.untested(SICK)


async def test_a_test_whose_client_left_is_followed_by_another() -> None:
    clock = Clock()
    breaker = await tripped(clock)
    clock.now += 10.1
    await breaker.skips(SICK)

    breaker.untested(SICK)

    assert not await breaker.skips(SICK)


async def test_a_test_that_never_ends_does_not_keep_the_deployment_out_for_ever() -> None:
    clock = Clock()
    breaker = await tripped(clock)
    clock.now += 10.1
    await breaker.skips(SICK)
    assert await breaker.skips(SICK)

    clock.now += 61.0

    assert not await breaker.skips(SICK)


async def test_another_model_of_the_same_backend_is_not_skipped() -> None:
    breaker = await tripped(Clock())

    assert not await breaker.skips(Target("sick", "other"))


async def test_a_deployment_that_is_the_only_one_may_fail_for_ever() -> None:
    clock = Clock()
    breaker = await tripped(clock)

    for _ in range(1_100):  # 2 to the power of 1,024 is no number of seconds
        await breaker.failed(SICK)

    clock.now += 121
    assert not await breaker.skips(SICK)
