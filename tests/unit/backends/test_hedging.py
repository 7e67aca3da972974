"""A request that waits for long is sent to a second deployment, and the first answer counts."""

import asyncio
from typing import Any, cast

import pytest

from gateway.ask import Ask, Endpoint
from gateway.backends.call import Caller
from gateway.errors import AnswerLost, BackendFailed, RequestError
from gateway.exchange import Exchange, Target
from gateway.ports import Reply
from gateway.state.memory import MemoryState

HEDGE_S = 0.02


class Timed:
    """A backend that answers after a while."""

    def __init__(self, name: str, after_s: float, outcome: int | RequestError = 200) -> None:
        self.name, self.after_s, self.outcome = name, after_s, outcome
        self.sent = self.cancelled = 0

    async def send(self, exchange: Exchange, model: str, headers: Any) -> Reply:
        self.sent += 1
        try:
            await asyncio.sleep(self.after_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.outcome, RequestError):
            raise self.outcome
        return Reply(self.outcome, (), backend=self.name)


async def hedged(*backends: Timed) -> Reply:
    route = tuple(Target(backend.name, "m", hedge_s=HEDGE_S) for backend in backends)
    caller = Caller(cast(Any, {backend.name: backend for backend in backends}), MemoryState())
    return await caller.call(Exchange("x", Ask(Endpoint.CHAT, "m", b"x" * 400), route=route), ())


async def test_a_quick_answer_is_not_hedged() -> None:
    first, second = Timed("a", 0.0), Timed("b", 0.0)

    reply = await hedged(first, second)

    assert (reply.backend, second.sent, reply.notes) == ("a", 0, [])


async def test_the_second_answers_for_a_slow_first_whose_request_is_cancelled_and_both_are_told() -> None:
    first, second = Timed("a", 60.0), Timed("b", 0.0)

    reply = await hedged(first, second)

    assert (reply.backend, first.cancelled) == ("b", 1)
    (note,) = reply.notes
    assert (note.decision, note.data) == ("hedged", {"backends": ["a", "b"], "answered": "b", "tokens": 100})


async def test_the_first_wins_where_the_second_is_slower_or_fails() -> None:
    slow = Timed("b", 60.0)
    assert (await hedged(Timed("a", HEDGE_S * 2), slow)).backend == "a"
    assert slow.cancelled == 1

    assert (await hedged(Timed("a", HEDGE_S * 4), Timed("b", 0.0, 503))).backend == "a"
    assert (await hedged(Timed("a", HEDGE_S * 4), Timed("b", 0.0, BackendFailed("broke")))).backend == "a"


async def test_where_both_fail_the_last_target_of_the_route_is_tried() -> None:
    third = Timed("c", 0.0)

    assert (await hedged(Timed("a", HEDGE_S * 2, 503), Timed("b", 0.0, 503), third)).backend in ("b", "c")
    assert third.sent == 1


@pytest.mark.parametrize("first", [503, BackendFailed("broke")])
async def test_a_request_that_the_second_has_accepted_is_not_sent_again_when_the_first_fails_too(
    first: int | RequestError,
) -> None:
    second, third = Timed("b", 0.0, AnswerLost("lost")), Timed("c", 0.0)

    with pytest.raises(AnswerLost):
        await hedged(Timed("a", HEDGE_S * 3, first), second, third)

    assert (second.sent, third.sent) == (1, 0)


async def test_a_client_that_leaves_cancels_both() -> None:
    first, second = Timed("a", 60.0), Timed("b", 60.0)
    running = asyncio.create_task(hedged(first, second))
    await asyncio.sleep(HEDGE_S * 3)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert (first.cancelled, second.cancelled) == (1, 1)
