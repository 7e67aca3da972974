"""Handing over from one backend to the next."""

from typing import Any, cast

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, Controls, Endpoint
from gateway.backends.call import UNREACHABLE, Caller
from gateway.backends.calling.breaker import Breaker
from gateway.errors import AnswerLost, BackendFailed, BackendTimeout, BadRequest, NotReady, RequestError
from gateway.exchange import Exchange, Target
from gateway.ports import Backend, HotState, Reply
from gateway.state.memory import MemoryState


class Answering:
    """A backend that does what it was told, one thing after the other."""

    def __init__(self, *does: int | RequestError) -> None:
        self.does = list(does)
        self.asked = 0

    async def send(self, exchange: Exchange, model: str, headers: Any) -> Reply:
        self.asked += 1
        done = self.does.pop(0) if len(self.does) > 1 else self.does[0]
        if isinstance(done, RequestError):
            raise done
        return Reply(done, ())


class GoneState:
    """A hot state whose server is gone."""

    async def blocked(self, key: str) -> float:
        raise ConnectionError("no Redis")

    async def block(self, key: str, for_s: float) -> None:
        raise ConnectionError("no Redis")


def exchange_to(*backends: str) -> Exchange:
    return Exchange("x", Ask(Endpoint.CHAT, "m", b"{}"), route=tuple(Target(name, "m") for name in backends))


def caller(state: Any = None, **backends: Answering) -> Caller:
    state = cast(HotState, state or MemoryState())
    return Caller(cast(dict[str, Backend], backends), state, breaker=Breaker(state, trip_after=2))


FAILS = BackendFailed("it broke")
UNREACHED = BackendFailed("nobody there", code=UNREACHABLE)


async def test_a_refused_backend_hands_over_to_the_next() -> None:
    assert (await caller(a=Answering(503), b=Answering(200)).call(exchange_to("a", "b"), ())).status == 200


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 599])
async def test_any_failure_of_a_server_hands_over(status: int) -> None:
    assert (await caller(a=Answering(status), b=Answering(200)).call(exchange_to("a", "b"), ())).status == 200


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 501, 505])
async def test_a_refusal_of_the_request_does_not_hand_over(status: int) -> None:
    other = Answering(200)

    assert (await caller(a=Answering(status), b=other).call(exchange_to("a", "b"), ())).status == status
    assert other.asked == 0


async def test_where_all_refuse_the_last_refusal_is_the_answer() -> None:
    assert (await caller(a=Answering(503), b=Answering(429)).call(exchange_to("a", "b"), ())).status == 429


async def test_a_wrong_request_is_not_handed_over() -> None:
    other = Answering(200)

    assert (await caller(a=Answering(400), b=other).call(exchange_to("a", "b"), ())).status == 400
    assert other.asked == 0


async def test_an_unreachable_backend_is_asked_once_more_and_a_broken_one_is_not() -> None:
    away, broken = Answering(UNREACHED, 200), Answering(FAILS)

    assert (await caller(a=away).call(exchange_to("a"), ())).status == 200
    with pytest.raises(BackendFailed):
        await caller(a=broken).call(exchange_to("a"), ())
    assert (away.asked, broken.asked) == (2, 1)


async def test_a_backend_that_keeps_failing_is_passed_over_where_there_is_another() -> None:
    sick = Answering(FAILS)
    call = caller(a=sick, b=Answering(200))
    for _ in range(4):
        await call.call(exchange_to("a", "b"), ())

    assert sick.asked == 2
    with pytest.raises(BackendFailed):
        await call.call(exchange_to("a"), ())


async def test_without_the_hot_state_requests_are_answered_all_the_same() -> None:
    call = caller(GoneState(), a=Answering(FAILS), b=Answering(200))

    for _ in range(3):
        assert (await call.call(exchange_to("a", "b"), ())).status == 200


LOST = AnswerLost("it closed the connection")
SILENT = BackendTimeout("it sent nothing")
BUSY = NotReady("all its connections are in use", retry_after_s=1.0)
KEY = ((b"idempotency-key", b"k1"),)


@pytest.mark.parametrize("error", [LOST, SILENT])
async def test_a_request_that_was_taken_is_sent_nowhere_else(error: RequestError) -> None:
    first, other = Answering(error), Answering(200)

    with pytest.raises(type(error)):
        await caller(a=first, b=other).call(exchange_to("a", "b"), ())
    assert (first.asked, other.asked) == (1, 0)


@pytest.mark.parametrize(("error", "sendings"), [(LOST, 2), (SILENT, 1)])
@pytest.mark.parametrize("by", ["key", "model"])
async def test_a_request_that_may_be_repeated_is_sent_again_and_then_to_the_next(
    error: RequestError, sendings: int, by: str
) -> None:
    first, other = Answering(error), Answering(200)
    exchange = exchange_to("a", "b")
    if by == "model":
        exchange = replace(exchange, route=tuple(replace(target, repeat=True) for target in exchange.route))

    reply = await caller(a=first, b=other).call(exchange, KEY if by == "key" else ())

    assert (reply.status, first.asked, other.asked) == (200, sendings, 1)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 520, 529, 599])
async def test_a_failure_by_its_status_hands_over(status: int) -> None:
    assert (await caller(a=Answering(status), b=Answering(200)).call(exchange_to("a", "b"), ())).status == 200


async def test_a_backend_whose_connections_are_all_in_use_is_asked_once_and_not_passed_over_later() -> None:
    busy = Answering(BUSY)
    call = caller(a=busy, b=Answering(200))
    for _ in range(5):
        assert (await call.call(exchange_to("a", "b"), ())).status == 200

    assert busy.asked == 5


def asking_nbce(*backends: str) -> Exchange:
    ask = Ask(Endpoint.CHAT, "m", b"{}", controls=Controls(contexts=("one", "two"), strategy="nbce"))
    return Exchange("x", ask, route=tuple(Target(name, "m") for name in backends))


async def test_passages_go_to_a_backend_that_can_mix_them() -> None:
    backends = cast(dict[str, Backend], {"remote": Answering(200), "torch": Answering(201)})
    mixing = Caller(backends, MemoryState(), mixing={"torch": ["small"]})
    assert (await mixing.call(asking_nbce("remote", "torch"), ())).status == 201


async def test_where_none_can_the_models_that_can_are_named() -> None:
    mixing = Caller(cast(dict[str, Backend], {"remote": Answering(200)}), MemoryState(), mixing={"torch": ["small"]})
    with pytest.raises(BadRequest, match=r"NBCE.*Ask one of these models: small") as refused:
        await mixing.call(asking_nbce("remote"), ())
    assert refused.value.param == "foreword.contexts"
