"""A fallback for whose model the rewrite was not measured to help gets the client's own prompt."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, Endpoint, Mode, Turn
from gateway.backends.call import Caller
from gateway.backends.complete import Completions
from gateway.backends.routing.routes import Routes
from gateway.errors import BackendFailed
from gateway.exchange import Arm, Chunk, Exchange, Note, Rewrite, Sampling, Target
from gateway.perform.performer import Performer
from gateway.perform.responder import Responder
from gateway.ports import Headers, ModelCard, Reply
from gateway.server.headers import decisions
from gateway.state.memory import MemoryState
from gateway.wire.chat.encode import body

RAW = b'{"model": "smol", "messages": [{"role": "user", "content": "hello"}], "x-unknown": 1}'
ASK = Ask(Endpoint.CHAT, "smol", RAW, (Turn("user", "hello", 0),))
REWRITTEN = (Turn("user", "hello\n\nBe brief."),)
REWRITE = Rewrite("refund.en", 1, arm=Arm.STABLE)
EXCHANGE = Exchange(
    "ex-1",
    ASK,
    mode=Mode.PROVEN,
    turns=REWRITTEN,
    sampling=Sampling(max_tokens=9),
    rewrite=REWRITE,
    proven=("smol",),
    route=(Target("up", "smol"), Target("other", "large")),
    notes=(Note("rewrite", "rewritten", "refund.en@1: intent refund"),),
)
DOWN = BackendFailed("it is down")


class Answering:
    """A backend that answers with a status or fails, and keeps the bodies that it got."""

    def __init__(self, name: str, does: int | BackendFailed) -> None:
        self.name, self._does = name, does
        self.bodies: list[bytes] = []

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...

    def models(self) -> list[ModelCard]:
        return [ModelCard("smol" if self.name == "up" else "large", (Endpoint.CHAT,))]

    def count_tokens(self, text: str) -> int:
        return len(text)

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        self.bodies.append(body(exchange, model))
        if isinstance(self._does, BackendFailed):
            raise self._does
        said = {"choices": [{"index": 0, "message": {"content": "Hi"}}]}
        return Reply(self._does, (), json.dumps(said).encode(), backend=self.name, model=model)


def responder(*answering: Answering) -> tuple[Responder, MemoryState]:
    backends: dict[str, Any] = {one.name: one for one in answering}
    state = MemoryState()
    caller = Caller(backends, state)
    return Responder(Performer(caller, Completions(caller, Routes({}, backends, "smol"))), backends), state


@pytest.mark.parametrize("failure", [DOWN, 503, 429])
async def test_a_fallback_without_a_row_gets_the_clients_own_bytes(failure: int | BackendFailed) -> None:
    up, other = Answering("up", failure), Answering("other", 200)
    respond, _ = responder(up, other)

    done, reply = await respond(EXCHANGE, ())

    assert b"Be brief." in up.bodies[0]
    assert other.bodies == [RAW.replace(b"smol", b"large")]
    assert (reply.status, reply.backend, done.changed, done.sampling) == (200, "other", False, Sampling.NONE)
    assert (done.rewrite.arm, done.rewrite.withheld) == (Arm.SHADOW, REWRITTEN)
    reason = "refund.en@1: intent refund; not proven for model large, which answers instead"
    assert done.notes == (Note("rewrite", "shadow", reason),)
    assert b"x-foreword-template" not in dict(decisions(done, reply))


async def test_the_first_model_gets_the_rewritten_prompt_and_the_record_has_the_whole_route() -> None:
    up, other = Answering("up", 200), Answering("other", 200)
    respond, _ = responder(up, other)

    done, reply = await respond(EXCHANGE, ())

    assert (reply.backend, other.bodies) == ("up", [])
    assert done == EXCHANGE


async def test_a_fallback_with_a_row_gets_the_rewritten_prompt() -> None:
    up, other = Answering("up", 503), Answering("other", 200)
    respond, _ = responder(up, other)

    done, _ = await respond(replace(EXCHANGE, proven=("smol", "large")), ())

    assert b"Be brief." in other.bodies[0]
    assert done.rewrite.arm is Arm.STABLE


@pytest.mark.parametrize("proven", [("smol",), ("smol", "large"), ("smol", "large", "last")])
@pytest.mark.parametrize(("failure", "cause"), [(DOWN, "it is down"), (503, "status 503")])
async def test_one_note_names_all_targets_that_did_not_answer(
    failure: int | BackendFailed, cause: str, proven: tuple[str, ...]
) -> None:
    """It does not matter where the targets for the client's own prompt begin."""
    up, other, last = Answering("up", failure), Answering("other", failure), Answering("last", 200)
    respond, _ = responder(up, other, last)
    route = (*EXCHANGE.route, Target("last", "last"))

    _, reply = await respond(replace(EXCHANGE, proven=proven, route=route), ())

    assert reply.notes == [Note("route", "handed over", f"up: {cause}; other: {cause}", {"answered": "last"})]


async def test_a_backend_that_rests_before_the_split_is_named_too() -> None:
    respond, state = responder(Answering("up", 200), Answering("other", 200))
    await state.block("backend:up:smol", 60.0)

    _, reply = await respond(EXCHANGE, ())

    (note,) = reply.notes
    assert note.reason.startswith("up: ")


async def test_a_failure_of_both_is_the_last_ones() -> None:
    respond, _ = responder(Answering("up", DOWN), Answering("other", 503))

    _, reply = await respond(EXCHANGE, ())

    assert (reply.status, reply.backend) == (503, "other")


async def test_a_refusal_by_the_first_is_no_reason_to_ask_the_second() -> None:
    up, other = Answering("up", 401), Answering("other", 200)
    respond, _ = responder(up, other)

    _, reply = await respond(EXCHANGE, ())

    assert (reply.status, other.bodies) == (401, [])


async def test_a_backend_that_rests_is_skipped_although_it_is_the_only_one_with_a_row() -> None:
    up, other = Answering("up", 200), Answering("other", 200)
    respond, state = responder(up, other)
    await state.block("backend:up:smol", 60.0)

    done, reply = await respond(EXCHANGE, ())

    assert (reply.backend, up.bodies, done.changed) == ("other", [], False)


async def test_the_passages_that_the_request_asks_for_stay_in_the_clients_own_prompt() -> None:
    up, other = Answering("up", 503), Answering("other", 200)
    respond, _ = responder(up, other)

    done, _ = await respond(replace(EXCHANGE, chunks=(Chunk("c1", "book", "book.md", "Ships sail."),)), ())

    sent = json.loads(other.bodies[0])["messages"][0]["content"]
    assert "Ships sail." in sent
    assert "hello" in sent
    assert "Be brief." not in sent
    assert done.rewrite.withheld == REWRITTEN


async def test_a_deployment_with_a_longer_window_under_another_name_needs_its_own_row() -> None:
    up, other = Answering("up", 200), Answering("other", 200)
    respond, _ = responder(up, other)

    done, _ = await respond(replace(EXCHANGE, route=(Target("other", "large"),)), ())

    assert other.bodies == [RAW.replace(b"smol", b"large")]
    assert not done.changed
    assert b"Be brief." not in respond.body(replace(EXCHANGE, route=(Target("other", "large"),)))
