"""Draws several answers to one exchange and counts the cost of each. The calls take the same route as a plain call."""

from collections.abc import Sequence
from time import perf_counter_ns

from msgspec.structs import replace

from gateway.ask import Mode, Turn
from gateway.backends.call import Caller, without_idempotency_key
from gateway.errors import BackendFailed, RequestError
from gateway.exchange import Call, Drawn, Exchange, Sampling
from gateway.own_call import own_call
from gateway.ports import Completer, Headers, Reply
from gateway.prompt.cost import JUDGE_TOKENS
from gateway.wire.chat import next_draw as again
from gateway.wire.chat.answer import read_answer

JUDGED = Sampling(max_tokens=JUDGE_TOKENS, temperature=0.0)
JUDGE_S = 60.0


class DrawRefused(Exception):
    """The backend refused the first draw. The client gets the backend's `reply`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"refused with {reply.status}")
        self.reply = reply


class Draws:
    """Implements `AnswerDraws` for one exchange. `replies` maps the number of a draw to the reply."""

    def __init__(self, exchange: Exchange, headers: Headers, caller: Caller, completer: Completer) -> None:
        self.replies: dict[int, Reply] = {}
        self._drawn: dict[int, Call] = {}
        self._judged: list[Call] = []
        self._exchange = exchange
        self._headers = headers
        self._fresh = without_idempotency_key(headers)
        self._caller = caller
        self._completer = completer
        self._count = 0

    def calls(self, chosen: int = -1) -> tuple[Call, ...]:
        """Return all calls except the call for the draw with the number `chosen`. With -1, return all calls."""
        return (*(call for number, call in sorted(self._drawn.items()) if number != chosen), *self._judged)

    async def draw(self, purpose: str, follow: Sequence[Turn] = (), temperature: float | None = None) -> Drawn:
        began = perf_counter_ns()
        number, self._count = self._count, self._count + 1
        headers = self._fresh if number else self._headers
        try:
            reply = await self._caller.call(self._again(number, follow, temperature), headers)
        except RequestError as error:
            self._drawn[number] = Call(purpose, took_us=_since(began), error=error.message)
            raise
        answer = read_answer(reply.body, "application/json")
        used = answer.prompt_tokens, answer.completion_tokens
        refused = f"refused with {reply.status}" if reply.status >= 300 else ""
        self._drawn[number] = Call(purpose, reply.backend, reply.model, *used, _since(began), refused)
        if refused:
            raise DrawRefused(reply) if not number else BackendFailed(f"The backend {reply.backend!r} {refused}.")
        self.replies[number] = reply
        return Drawn(number, answer.text, sum(max(0, tokens) for tokens in used))

    async def judge(self, turns: Sequence[Turn], model: str = "") -> Drawn:
        text, call = await own_call(
            self._completer,
            self._exchange,
            turns,
            purpose="judge",
            model=model,
            sampling=JUDGED,
            timeout_s=JUDGE_S,
        )
        self._judged.append(call)
        if call.error:
            raise BackendFailed(f"The judge did not answer: {call.error}")
        return Drawn(-1, text, max(0, call.prompt_tokens) + max(0, call.completion_tokens))

    def _again(self, number: int, follow: Sequence[Turn], temperature: float | None) -> Exchange:
        exchange = self._exchange
        sampling = exchange.sampling
        if temperature is not None:
            sampling = replace(sampling, temperature=temperature)
        ask = replace(exchange.ask, raw=again.whole(exchange.ask.raw, number), stream=False)
        return replace(exchange, ask=ask, mode=Mode.ON, turns=(*exchange.sent, *follow), sampling=sampling)


def _since(began_ns: int) -> int:
    return (perf_counter_ns() - began_ns) // 1000
