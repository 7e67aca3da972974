"""Draws answers to one exchange through the same route as a plain call, and books what each costs."""

from collections.abc import Sequence
from time import perf_counter_ns

from msgspec.structs import replace

from gateway.backends.call import Caller
from gateway.errors import BackendFailed
from gateway.exchange import Call, Drawn, Exchange, Mode, Sampling, Turn
from gateway.ports import Completer, Headers, Reply
from gateway.wire import again
from gateway.wire.answer import read_answer

JUDGED = Sampling(max_tokens=120, temperature=0.0)  # `prompt.cost` states as many


class Refused(Exception):
    """The backend refused the request itself; the reply is the client's."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"refused with {reply.status}")
        self.reply = reply


class Draws:
    """An exchange's `Asking`. `replies` holds what was drawn, by number; `calls` what that cost beside the first."""

    def __init__(self, exchange: Exchange, headers: Headers, caller: Caller, completer: Completer) -> None:
        self.replies: dict[int, Reply] = {}
        self.calls: list[Call] = []
        self._exchange = exchange
        self._headers = headers
        self._caller = caller
        self._completer = completer
        self._count = 0

    async def draw(self, purpose: str = "", follow: Sequence[Turn] = (), temperature: float | None = None) -> Drawn:
        began = perf_counter_ns()
        number, self._count = self._count, self._count + 1
        reply = await self._caller.call(self._again(number, follow, temperature), self._headers)
        if reply.status >= 300:
            if not purpose:
                raise Refused(reply)
            raise BackendFailed(f"The backend {reply.backend!r} refused with {reply.status}.")
        answer = read_answer(reply.body, "application/json")
        self.replies[number] = reply
        if purpose:
            took_us = (perf_counter_ns() - began) // 1000
            used = answer.prompt_tokens, answer.completion_tokens
            self.calls.append(Call(purpose, reply.backend, reply.model, *used, took_us))
        tokens = max(0, answer.prompt_tokens) + max(0, answer.completion_tokens)
        return Drawn(number, answer.text, tokens)

    async def judge(self, turns: Sequence[Turn], model: str = "") -> str:
        done = await self._completer.complete(self._exchange, turns, purpose="judge", model=model, sampling=JUDGED)
        self.calls.append(done.call)
        return done.answer.text

    def _again(self, number: int, follow: Sequence[Turn], temperature: float | None) -> Exchange:
        exchange = self._exchange
        sampling = exchange.sampling
        if temperature is not None:
            sampling = replace(sampling, temperature=temperature)
        ask = replace(exchange.ask, raw=again.whole(exchange.ask.raw, number), stream=False)
        return replace(exchange, ask=ask, mode=Mode.ON, turns=(*exchange.sent, *follow), sampling=sampling)
