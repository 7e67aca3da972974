"""Sends a share of a model's requests to another model too, after the client has its answer, and records the answers.

No client waits or fails because of a mirrored request: it is sent in a task of its own, it is left out and not queued
if anything is short, and its errors are only recorded.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from time import perf_counter_ns, time

from msgspec.structs import replace

from gateway.ask import Endpoint
from gateway.backends.routing.routes import Routes
from gateway.errors import RequestError
from gateway.exchange import Exchange, Note, Rewrite
from gateway.ports import ExchangeOutcome, Headers, HotState, Reply
from gateway.recognised import RecognisedPrompt
from gateway.settings.models import Mirror

log = logging.getLogger("foreword.mirror")

JOB = "mirror"
MIRRORED = (Endpoint.CHAT, Endpoint.COMPLETION, Endpoint.RESPONSES, Endpoint.MESSAGES)
ACTING = (Endpoint.RESPONSES, Endpoint.MESSAGES)
"""At these endpoints, tools may run at the provider, and could act a second time."""

Perform = Callable[[Exchange, Headers], Awaitable[tuple[Exchange, Reply]]]
Record = Callable[[Exchange, ExchangeOutcome], None]
Count = Callable[[str, str], None]
"""Gets the mirror's model and the result: `answered`, `failed`, or `busy`, `load`, `budget` for a request left out."""


class Mirrors:
    """The mirrored requests of one worker."""

    def __init__(
        self,
        routes: Routes,
        state: HotState,
        perform: Perform,
        record: Record,
        *,
        busy: Callable[[], int],
        most_bytes: int,
        count: Count = lambda _model, _result: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`busy` returns the number of client requests that the worker is answering. Of an answer, `most_bytes` are
        recorded.
        """
        self._routes, self._state, self._perform, self._record = routes, state, perform, record
        self._busy, self._most_bytes, self._count, self._chance = busy, most_bytes, count, chance
        self._running: dict[str, set[asyncio.Task[None]]] = {}

    def consider(self, exchange: Exchange, outcome: ExchangeOutcome) -> None:
        """Mirror a finished exchange, if its model's mirror draws it. Returns at once."""
        mirror = self._routes.mirror(exchange.ask.model)
        if mirror is None or not mirror.share or self._chance() >= mirror.share:
            return
        if outcome.ending != "finished" or outcome.status >= 300 or not is_repeatable(exchange):
            return
        running = self._running.setdefault(mirror.model, set())
        if len(running) >= mirror.at_once:
            self._count(mirror.model, "busy")
        elif self._busy() > mirror.off_above:
            self._count(mirror.model, "load")
        else:
            task = asyncio.create_task(self._mirror(exchange, mirror), name="mirror")
            running.add(task)
            task.add_done_callback(running.discard)

    async def aclose(self) -> None:
        tasks = [task for running in self._running.values() for task in running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _mirror(self, exchange: Exchange, mirror: Mirror) -> None:
        try:
            if await self._is_spent(mirror):
                self._count(mirror.model, "budget")
                return
            copy = replace(
                exchange,
                id=mirrored_id(exchange.id),
                route=self._routes.targets(mirror.model, exchange.ask.endpoint)[:1],
                ask=replace(exchange.ask, model=mirror.model),
                tell=None,
                job=JOB,
                calls=(),
                proven=None,
                procedure=None,
                started_s=time(),
                notes=(Note("route", "mirror", data={"of": exchange.id, "model": exchange.ask.model}),),
                # the statistics of templates and found prompts must not count the request twice
                rewrite=Rewrite.NONE,
                recognised=RecognisedPrompt.NONE,
            )
            outcome, copy = await self._send(copy, mirror.timeout_s)
            is_answered = outcome.ending == "finished" and outcome.status < 300
            self._count(mirror.model, "answered" if is_answered else "failed")
            self._record(copy, outcome)
        except Exception:  # nothing here may reach a client
            log.exception("a mirrored request failed", extra={"exchange": exchange.id})
            self._count(mirror.model, "failed")

    async def _is_spent(self, mirror: Mirror) -> bool:
        try:
            for limit, window_s in ((mirror.requests_per_minute, 60.0), (mirror.requests_per_day, 86_400.0)):
                if limit and await self._state.hit(f"mirror:{mirror.model}:{window_s:.0f}", limit, window_s):
                    return True
        except Exception:
            return True  # without a count, the budget could be passed
        return False

    async def _send(self, exchange: Exchange, timeout_s: float) -> tuple[ExchangeOutcome, Exchange]:
        began, body, reply, error = perf_counter_ns(), bytearray(), None, ""
        first_us = 0
        try:
            async with asyncio.timeout(timeout_s):
                exchange, reply = await self._perform(exchange, ())
                first_us = (perf_counter_ns() - began) // 1000
                if reply.pieces is None:
                    body += reply.body[: self._most_bytes]
                else:
                    async for piece in reply.pieces:
                        body += piece[: self._most_bytes - len(body)]
        except TimeoutError:
            error = f"no whole answer within {timeout_s:g} s"
        except RequestError as failure:
            error = failure.message
        finally:
            if reply is not None:
                await reply.aclose()
        headers = dict(reply.headers) if reply is not None else {}
        outcome = ExchangeOutcome(
            ending="failed" if error else "finished",
            status=reply.status if reply is not None else 0,
            backend=reply.backend if reply is not None else "",
            model=reply.model if reply is not None else "",
            content_type=headers.get(b"content-type", b"").decode("latin-1"),
            content_encoding=headers.get(b"content-encoding", b"").decode("latin-1"),
            body=bytes(body),
            error=error,
            first_byte_us=first_us,
            total_us=(perf_counter_ns() - began) // 1000,
        )
        return outcome, exchange


def mirrored_id(id: str) -> str:
    """Return the id under which the mirrored answer to an exchange is recorded."""
    return f"{id}-mirror"


def is_repeatable(exchange: Exchange) -> bool:
    """Whether a request can be sent again without acting twice, and as one request."""
    ask = exchange.ask
    return (
        ask.endpoint in MIRRORED
        and not exchange.job
        and not (ask.has_tools and ask.endpoint in ACTING)
        and not ask.kept_elsewhere
        and not ask.previous
        and b'"store"' not in ask.raw
        and exchange.pieces is None
        and not exchange.composed
        and exchange.searched is None
    )
