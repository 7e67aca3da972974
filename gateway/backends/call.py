"""Calls the targets of a route in order until one answers."""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec.structs import replace

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
from gateway.exchange import Exchange, Target
from gateway.ports import Headers, HotState, Reply

log = logging.getLogger("foreword.call")

UNREACHABLE = "backend_unreachable"
HANDED_OVER = (BackendFailed, BackendTimeout, NotReady, LimitReached)
"""The errors after which the next target on the route is tried."""
REPEATABLE = b"idempotency-key"
REFUSALS = (501, 505)
"""Not Implemented and HTTP Version Not Supported. The server rejects the request with these, but has not failed."""


class Sender(Protocol):
    """The part of a backend that a caller needs."""

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply: ...


class Caller:
    """Returns the reply of the first backend on the route that answers.

    A request that a backend has accepted (`RequestError.taken`) is not sent again, unless the client gave an
    idempotency key or the model's configuration sets `repeat`. A backend that cannot be reached is tried a second time.
    If a backend fails `trip_after` times in a row and the route has another one, the backend is skipped for `rest_s`
    seconds.
    """

    def __init__(
        self,
        backends: Mapping[str, Sender],
        state: HotState,
        *,
        trip_after: int = 5,
        rest_s: float = 10.0,
        mixing: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`mixing` has the backends that can read passages in parallel (NBCE), each with the names of its models."""
        self._mixing = mixing or {}
        self._backends = backends
        self._state = state
        self._trip_after = trip_after
        self._rest_s = rest_s
        self._failures = dict.fromkeys(backends, 0)

    async def call(self, exchange: Exchange, headers: Headers) -> Reply:
        """Return the reply of the first target that does not fail.

        If all targets fail, return the last one's reply or raise its error.
        """
        if exchange.windows:
            exchange = self._mixed(exchange)
        *others, last = exchange.route
        for target in others:
            if await self._rests(target.backend):
                continue
            try:
                reply = await self._try(exchange, target, headers)
            except HANDED_OVER as error:
                if error.taken and not is_repeatable(target, headers):
                    raise
                log.warning("handing over", extra={"backend": target.backend, "error": error.message})
                continue
            if not is_failure(reply.status):
                return reply
            await reply.aclose()
        if exchange.spare and await self._rests(last.backend):
            raise BackendFailed(
                f"The backend {last.backend!r} is skipped for a while after failures.", code=UNREACHABLE
            )
        return await self._try(exchange, last, headers)

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
        try:
            reply = await self._send(exchange, target, headers)
        except RequestError as error:
            # these are not failures: the backend is loading, all its connections are in use, or its model called no
            # tool
            if error.status >= 500 and not isinstance(error, NotReady | CallMissing):
                await self._failed(target.backend)
            raise
        if reply.status >= 500 and is_failure(reply.status):
            await self._failed(target.backend)
        else:
            self._failures[target.backend] = 0
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

    async def _rests(self, backend: str) -> bool:
        try:
            return await self._state.blocked(f"backend:{backend}") > 0
        except Exception:
            log.warning("the hot state cannot be reached: every backend is tried")
            return False

    async def _failed(self, backend: str) -> None:
        self._failures[backend] += 1
        if self._failures[backend] < self._trip_after:
            return
        try:
            await self._state.block(f"backend:{backend}", self._rest_s)
        except Exception:
            log.warning("the hot state cannot be reached: a failing backend is not skipped")


def is_failure(status: int) -> bool:
    """Whether another backend may succeed after one has answered with this status."""
    return (status >= 500 and status not in REFUSALS) or status in (408, 429)


def is_repeatable(target: Target, headers: Headers) -> bool:
    """Whether a request may be sent again after a backend has accepted it."""
    return target.repeat or any(name == REPEATABLE for name, _ in headers)
