"""Retries: when they are allowed, and how long they wait."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast

import pytest

from gateway.ask import Ask, Endpoint
from gateway.backends.call import Caller
from gateway.backends.calling.retry import Retries, is_momentary, retry_after_s
from gateway.errors import AnswerLost, BackendFailed, BackendTimeout, NotReady, RequestError
from gateway.exchange import Exchange, Target
from gateway.ports import Reply
from gateway.state.memory import MemoryState

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        (b"retry-after", b"3", 3.0),
        (b"retry-after", b" 0.25 ", 0.25),
        (b"retry-after-ms", b"1500", 1.5),
        (b"retry-after", format_datetime(NOW + timedelta(seconds=7), usegmt=True).encode(), 7.0),
        (b"retry-after", format_datetime(NOW - timedelta(seconds=7), usegmt=True).encode(), 0.0),
        (b"retry-after", b"soon", None),
        (b"retry-after", b"-1", None),
        (b"retry-after", b"nan", None),
        (b"retry-after", b"inf", None),
        (b"retry-after", b"", None),
        (b"retry-after", b"Mon, 01 Jan 99999999999999 00:00:00 GMT", None),
        (b"date", b"3", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(name: bytes, value: bytes, seconds: float | None) -> None:
    assert retry_after_s(((name, value),), NOW) == seconds


@pytest.mark.parametrize("status", [429, 503, 529])
def test_refusals_for_the_moment_are_tried_again(status: int) -> None:
    assert is_momentary(Reply(status, ()))


@pytest.mark.parametrize(
    "outcome",
    [Reply(500, ()), Reply(502, ()), Reply(504, ()), Reply(408, ()), AnswerLost("gone"), BackendTimeout("silent")],
)
def test_what_a_backend_may_have_worked_on_is_not(outcome: Reply | RequestError) -> None:
    assert not is_momentary(outcome)


def test_without_a_hint_waits_double_and_are_spread_by_chance() -> None:
    refused = Reply(503, ())

    assert [Retries(5, chance=lambda: 1.0).wait_s(number, refused) for number in range(3)] == [0.5, 1.0, 2.0]
    assert Retries(5, chance=lambda: 0.0).wait_s(2, refused) == 0.0


def test_a_hint_is_never_cut_short_and_a_long_one_ends_the_retries() -> None:
    retries = Retries(3, longest_wait_s=5.0, chance=lambda: 0.0)

    assert retries.wait_s(0, Reply(429, ((b"retry-after", b"4"),))) == 4.0
    assert retries.wait_s(0, NotReady("loading", retry_after_s=2.0)) == 2.0
    assert retries.wait_s(0, Reply(429, ((b"retry-after", b"60"),))) is None


def test_the_budget_limits_retries_to_a_share_of_the_requests() -> None:
    retries = Retries(9, share=0.2, chance=lambda: 0.0)
    granted = 0
    for _ in range(200):
        retries.earn()
        granted += sum(retries.wait_s(number, Reply(503, ())) is not None for number in range(3))

    assert 40 <= granted <= 51


class Scripted:
    def __init__(self, *outcomes: int | RequestError) -> None:
        self.outcomes = list(outcomes)
        self.sent = 0

    async def send(self, exchange: Exchange, model: str, headers: Any) -> Reply:
        self.sent += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, RequestError):
            raise outcome
        return Reply(outcome, ())


def calls(retries: Retries, **backends: Scripted) -> Any:
    exchange = Exchange("x", Ask(Endpoint.CHAT, "m", b"{}"), route=tuple(Target(name, "m") for name in backends))
    caller = Caller(cast(Any, backends), MemoryState(), retries=retries)
    return caller.call(exchange, ())


def quick(most: int) -> Retries:
    return Retries(most, chance=lambda: 0.0)


async def test_the_whole_route_is_tried_again() -> None:
    first, second = Scripted(503, 503, 200), Scripted(429, 429)

    assert (await calls(quick(2), first=first, second=second)).status == 200
    assert (first.sent, second.sent) == (3, 2)


async def test_after_the_last_retry_the_client_gets_the_refusal() -> None:
    only = Scripted(429)

    assert (await calls(quick(2), only=only)).status == 429
    assert only.sent == 3


async def test_by_default_nothing_is_tried_again() -> None:
    only = Scripted(503, 200)

    assert (await calls(Retries(), only=only)).status == 503


@pytest.mark.parametrize("outcome", [500, 502, AnswerLost("gone"), BackendTimeout("silent"), BackendFailed("broke")])
async def test_a_request_that_may_have_been_worked_on_is_sent_once(outcome: int | RequestError) -> None:
    only = Scripted(outcome, 200)
    with contextlib.suppress(RequestError):
        await calls(quick(3), only=only)

    assert only.sent == 1


async def test_a_client_that_leaves_during_the_wait_ends_it() -> None:
    only = Scripted(503)
    waiting = asyncio.create_task(calls(Retries(3, longest_wait_s=60.0, chance=lambda: 60.0), only=only))
    await asyncio.sleep(0.01)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert only.sent == 1
