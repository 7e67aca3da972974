"""Calls the targets of a route in order until one answers."""

import asyncio
import logging
from collections.abc import Container, Mapping, Sequence
from time import perf_counter
from typing import Protocol

from msgspec.structs import replace

from gateway.backends.calling.breaker import Breaker
from gateway.backends.calling.race import Race
from gateway.backends.calling.retry import Retries, is_failure
from gateway.backends.routing.figures import LiveFigures
from gateway.errors import (
    AnswerLost,
    BackendFailed,
    BackendTimeout,
    BadRequest,
    CallMissing,
    LimitReached,
    NotReady,
    RequestError,
)
from gateway.exchange import Exchange, Note, Target
from gateway.ports import Headers, HotState, Reply

log = logging.getLogger("foreword.call")

UNREACHABLE = "backend_unreachable"
HANDED_OVER = (BackendFailed, BackendTimeout, NotReady, LimitReached)
"""The errors after which the next target on the route is tried."""
HANDED = "handed over"
REPEATABLE = b"idempotency-key"


class Sender(Protocol):
    """The part of a backend that `Caller` uses."""

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply: ...


class Caller:
    """Returns the reply of the first backend on the route that answers.

    A request that a backend has accepted (`RequestError.taken`) is not sent again, unless the client gave the request
    an idempotency key or the model's configuration sets `repeat`. A backend that cannot be reached is tried once more.
    `Breaker` decides which deployments are skipped. `Retries` decides whether the whole route is tried again.
    """

    def __init__(
        self,
        backends: Mapping[str, Sender],
        state: HotState,
        *,
        breaker: Breaker | None = None,
        retries: Retries | None = None,
        figures: LiveFigures | None = None,
        mixing: Mapping[str, Sequence[str]] | None = None,
        ejected: Container[str] = (),
    ) -> None:
        """`ejected` has the backends whose probes fail.

        `mixing` maps each backend that can read passages in parallel (NBCE) to the names of its models."""
        self._mixing = mixing or {}
        self._backends = backends
        self._breaker = breaker or Breaker(state)
        self._retries = retries or Retries()
        self._ejected = ejected
        self._figures = figures or LiveFigures({})

    async def call(self, exchange: Exchange, headers: Headers) -> Reply:
        """Return the reply of the first target that does not fail.

        If all targets fail, return the last target's reply or raise its error.
        """
        if exchange.windows:
            exchange = self._mixed(exchange)
        self._retries.earn()
        number = 0
        while True:
            try:
                reply = await self._round(exchange, headers)
                wait_s = self._retry_wait_s(exchange, number, reply) if is_failure(reply.status) else None
                if wait_s is None:
                    return reply
                await reply.aclose()
            except HANDED_OVER as error:
                wait_s = self._retry_wait_s(exchange, number, error)
                if wait_s is None:
                    raise
            log.info("retrying", extra={"exchange": exchange.id, "wait_s": round(wait_s, 3)})
            await asyncio.sleep(wait_s)
            number += 1

    def _retry_wait_s(self, exchange: Exchange, number: int, outcome: Reply | RequestError) -> float | None:
        # with `spare`, other targets are tried next, which takes less time than a retry
        return None if exchange.spare else self._retries.wait_s(number, outcome)

    async def _round(self, exchange: Exchange, headers: Headers) -> Reply:
        """Try each target of the route once."""
        *others, last = exchange.route
        passed: list[str] = []
        for place, target in enumerate(others):
            if target.backend in self._ejected or await self._breaker.skips(target):
                passed.append(f"{target.backend}: left out for a while after failures")
                continue
            try:
                if target.hedge_s:
                    reply = await self._hedged(exchange, target, exchange.route[place + 1], headers)
                else:
                    reply = await self._try(exchange, target, headers)
            except HANDED_OVER as error:
                if error.taken and not is_repeatable(target, headers):
                    error.passed = tuple(passed)
                    raise
                log.warning("handing over", extra={"backend": target.backend, "error": error.message})
                passed.append(f"{target.backend}: {error.message}")
                continue
            if not is_failure(reply.status):
                return with_passed(reply, passed)
            passed.append(f"{target.backend}: status {reply.status}")
            await reply.aclose()
        try:
            if exchange.spare and await self._breaker.skips(last):
                raise BackendFailed(
                    f"The backend {last.backend!r} is skipped for a while after failures.", code=UNREACHABLE
                )
            return with_passed(await self._try(exchange, last, headers), passed)
        except HANDED_OVER as error:
            error.passed = tuple(passed)
            raise

    async def _hedged(self, exchange: Exchange, target: Target, other: Target, headers: Headers) -> Reply:
        """Send the request to `other` too if `target` has not answered after `target.hedge_s` seconds. Return the first
        reply that is not a failure, and cancel the other request.
        """
        replies = Race([self._try(exchange, target, headers)])
        try:
            reply = await replies.first(target.hedge_s)
            if reply is None:
                replies.add(self._try(exchange, other, headers))
                reply = await replies.first()
                assert reply is not None
                estimate = len(exchange.ask.raw) // 4
                data = {"backends": [target.backend, other.backend], "answered": reply.backend, "tokens": estimate}
                reply.notes.append(Note("route", "hedged", f"no answer after {target.hedge_s:g} s", data))
            return reply
        finally:
            await replies.aclose()

    def _mixed(self, exchange: Exchange) -> Exchange:
        """Limit the route to targets that can read passages in parallel. Raises `BadRequest` if there are none."""
        able = tuple(target for target in exchange.route if target.backend in self._mixing)
        if able:
            return replace(exchange, route=able)
        models = ", ".join(name for names in self._mixing.values() for name in names)
        known = f"Ask one of these models: {models}." if models else 'A backend of kind "torch" can.'
        raise BadRequest(
            f"The model {exchange.ask.model!r} cannot read contexts in parallel (NBCE), because its backend does not "
            f"return full token distributions. {known}",
            param="foreword.contexts",
        )

    async def _try(self, exchange: Exchange, target: Target, headers: Headers) -> Reply:
        started = perf_counter()
        try:
            reply = await self._send(exchange, target, headers)
        except RequestError as error:
            # these are not failures: the backend is loading, all its connections are in use, or its model called no
            # tool
            if error.status >= 500 and not isinstance(error, NotReady | CallMissing):
                self._figures.failed(target, perf_counter() - started)
                await self._breaker.failed(target)
            else:
                self._breaker.untested(target)
            raise
        except BaseException:
            self._breaker.untested(target)
            raise
        took_s = perf_counter() - started
        if not is_failure(reply.status):
            self._figures.answered(target, took_s)
            self._breaker.succeeded(target)
            return reply
        self._figures.failed(target, took_s)
        if reply.status >= 500:
            await self._breaker.failed(target)
        else:
            self._breaker.succeeded(target)
        return reply

    async def _send(self, exchange: Exchange, target: Target, headers: Headers) -> Reply:
        backend = self._backends[target.backend]
        try:
            return await backend.send(exchange, target.model, headers)
        except BackendFailed as error:
            lost = isinstance(error, AnswerLost) and is_repeatable(target, headers)
            if error.code != UNREACHABLE and not lost:
                raise
        return await backend.send(exchange, target.model, headers)


def with_passed(reply: Reply, passed: Sequence[str]) -> Reply:
    """Note why targets before the one that replied did not. A note that is there already names later targets."""
    if passed:
        later = passed_of(reply)
        reply.notes[:] = [note for note in reply.notes if note.decision != HANDED]
        reply.notes.append(Note("route", HANDED, "; ".join([*passed, *later]), {"answered": reply.backend}))
    return reply


def passed_of(reply: Reply) -> tuple[str, ...]:
    """Return what the note of a reply says about the targets before it."""
    return tuple([note.reason for note in reply.notes if note.decision == HANDED])


def is_repeatable(target: Target, headers: Headers) -> bool:
    """Whether a request may be sent again after a backend has accepted it."""
    return target.repeat or any(name == REPEATABLE for name, _ in headers)


def without_idempotency_key(headers: Headers) -> Headers:
    """Return the headers for a further request. A server may answer a known key with its first answer."""
    return tuple([header for header in headers if header[0] != REPEATABLE])
