"""Makes the gateway's own model calls, over the same routes and backends as clients' requests."""

from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from gateway.ask import Ask, Endpoint, Mode, Turn
from gateway.backends.call import Caller
from gateway.backends.routing.routes import Routes, check_model
from gateway.errors import BackendFailed
from gateway.exchange import Call, Exchange, Sampling
from gateway.ports import Answer, Completed, Reply
from gateway.wire.chat.answer import read_answer
from gateway.wire.chat.encode import question


class Completions:
    """The implementation of `Completer` for the gateway's own calls."""

    def __init__(self, caller: Caller, routes: Routes) -> None:
        self._caller = caller
        self._routes = routes

    async def complete(
        self,
        exchange: Exchange,
        turns: Sequence[Turn],
        *,
        purpose: str,
        model: str = "",
        sampling: Sampling = Sampling.NONE,
        schema: Mapping[str, Any] | None = None,
    ) -> Completed:
        began = perf_counter_ns()
        name = model or exchange.ask.model
        if model:
            check_model(self._routes, exchange.key, model, Endpoint.CHAT)
        route = self._routes.targets(model, Endpoint.CHAT) if model else exchange.route
        ask = Ask(Endpoint.CHAT, name, question(name, turns, sampling, schema), tuple(turns))
        own = Exchange(f"{exchange.id}-{purpose}", ask, exchange.key, Mode.OFF, route=route)
        reply = await self._caller.call(own, ())
        answer = _read(reply)
        took_us = (perf_counter_ns() - began) // 1000
        call = Call(purpose, reply.backend, reply.model, answer.prompt_tokens, answer.completion_tokens, took_us)
        return Completed(answer, call)


def _read(reply: Reply) -> Answer:
    headers = dict(reply.headers)
    kind, encoding = (headers.get(name, b"").decode("latin-1") for name in (b"content-type", b"content-encoding"))
    if reply.status != 200:
        raise BackendFailed(f"The backend {reply.backend!r} refused the gateway's own call with {reply.status}.")
    return read_answer(reply.body, kind, encoding)
