"""What drawing several answers sends, and what it books. The backend is a list of replies."""

import json

import pytest

from gateway.ask import Ask, ClientKey, Endpoint, Turn
from gateway.backends.call import Caller
from gateway.backends.complete import Completions
from gateway.backends.routing.routes import Routes
from gateway.errors import KeyNotAllowed
from gateway.exchange import Exchange, Target
from gateway.perform.draws import DrawRefused, Draws
from gateway.ports import Headers, ModelCard, Reply
from gateway.state.memory import MemoryState

RAW = b'{"model": "small", "seed": 7, "stream": true, "messages": [{"role": "user", "content": "how many?"}]}'
EXCHANGE = Exchange(
    "ex-1",
    Ask(Endpoint.CHAT, "small", RAW, (Turn("user", "how many?", 0),), stream=True),
    turns=(Turn("user", "How many are there?"),),
    route=(Target("up", "small"),),
)


class Replies:
    """A backend that gives these answers, and keeps what it got."""

    name = "up"

    def __init__(self, *replies: tuple[int, str, int]) -> None:
        self.replies = list(replies)
        self.got: list[tuple[Exchange, Headers]] = []

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...

    def models(self) -> list[ModelCard]:
        return [ModelCard(name, (Endpoint.CHAT,)) for name in ("small", "expensive")]

    def count_tokens(self, text: str) -> int:
        return len(text)

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        self.got.append((exchange, headers))
        status, text, tokens = self.replies.pop(0)
        usage = {"prompt_tokens": tokens, "completion_tokens": 1}
        body = {"choices": [{"index": 0, "message": {"content": text}}], "usage": usage}
        return Reply(status, (), json.dumps(body).encode(), backend="up", model=model)


def draws(backend: Replies, key: ClientKey = ClientKey.ANONYMOUS) -> tuple[Draws, Completions]:
    caller = Caller({"up": backend}, MemoryState())
    completions = Completions(caller, Routes({}, {"up": backend}, "small"))
    headers = ((b"idempotency-key", b"k"), (b"traceparent", b"t"))
    return Draws(EXCHANGE, headers, caller, completions), completions


async def test_all_but_the_chosen_draw_are_extra_calls() -> None:
    asking, _ = draws(Replies((200, "a", 10), (200, "b", 20), (200, "c", 30)))
    drawn = [await asking.draw("sample") for _ in range(3)]
    assert [one.tokens for one in drawn] == [11, 21, 31]
    assert [call.prompt_tokens for call in asking.calls(chosen=1)] == [10, 30]


async def test_each_draw_is_whole_with_a_seed_of_its_own_and_only_the_first_keeps_the_idempotency_key() -> None:
    backend = Replies((200, "a", 1), (200, "b", 1))
    asking, _ = draws(backend)
    await asking.draw("sample")
    await asking.draw("sample")
    bodies = [json.loads(exchange.ask.raw) for exchange, _ in backend.got]
    assert [body["seed"] for body in bodies] == [7, 8]
    assert all("stream" not in body for body in bodies)
    assert [dict(headers) for _, headers in backend.got] == [
        {b"idempotency-key": b"k", b"traceparent": b"t"},
        {b"traceparent": b"t"},
    ]


async def test_a_refusal_of_the_first_draw_is_the_clients() -> None:
    asking, _ = draws(Replies((400, "", 0)))
    with pytest.raises(DrawRefused) as refused:
        await asking.draw("answer")
    assert refused.value.reply.status == 400


async def test_a_keys_models_hold_for_the_gateways_own_calls_too() -> None:
    _, completions = draws(Replies())
    exchange = Exchange("ex-1", EXCHANGE.ask, ClientKey("app", models=("small",)), route=EXCHANGE.route)
    with pytest.raises(KeyNotAllowed):
        await completions.complete(exchange, [Turn("user", "?")], purpose="refine", model="expensive")
