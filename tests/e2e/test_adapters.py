"""LoRA adapters as models of their own, on a tiny random model that llama.cpp really loads."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import pytest_asyncio

from gateway.backends.local import llamacpp
from gateway.backends.local.gguf import blocks
from gateway.backends.local.gguf.tensors import TensorSpec, real, text, write_gguf
from gateway.backends.local.llamacpp import LlamaCpp, LlamaCppSettings
from offline_jobs.compress.gguf.export import Compressed, write_model
from offline_jobs.compress.gguf.vocabulary import proven_pairs
from offline_jobs.compress.source import load_network, open_source
from tests.doubles import tiny_families
from tests.doubles.asking import BackendTransport
from tests.doubles.tiny_families import SHAPE

pytestmark = pytest.mark.asyncio(loop_scope="module")

RANK, WIDTH = 4, SHAPE["hidden_size"]
LETTERS = [tiny_families.vocabulary().convert_tokens_to_ids(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
PROMPT = "The river rises in the hills. In spring it is wide."


def adapter(path: Path, seed: int) -> Path:
    """Write an adapter for the first layer's query matrix."""
    rows = SHAPE["num_attention_heads"] * SHAPE["head_dim"]
    random = np.random.default_rng(seed)
    specs = [
        TensorSpec("blk.0.attn_q.weight.lora_a", (RANK, WIDTH), blocks.F32),
        TensorSpec("blk.0.attn_q.weight.lora_b", (rows, RANK), blocks.F32),
    ]
    pairs = {
        "general.architecture": text("llama"),
        "general.type": text("adapter"),
        "adapter.type": text("lora"),
        "adapter.lora.alpha": real(RANK),
    }
    write_gguf(path, pairs, specs, [random.normal(size=spec.shape).astype(np.float32) for spec in specs])
    return path


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> LlamaCppSettings:
    place = tmp_path_factory.mktemp("llama")
    folder = tiny_families.folder(place, "llama")
    source = open_source(folder)
    model = place / "tiny.gguf"
    write_model(
        Compressed(source, load_network(source)), model, proven_pairs(folder, source.pairs, folder, lambda: None)
    )
    named = {f"tiny-{seed}": str(adapter(place / f"{seed}.gguf", seed)) for seed in (1, 2)}
    return LlamaCppSettings(name="tiny", model=str(model), context_tokens=256, adapter_models=named)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(settings: LlamaCppSettings) -> AsyncIterator[openai.AsyncOpenAI]:
    backend = LlamaCpp("local", settings, Path(settings.model))
    assert [card.name for card in backend.models()] == ["tiny", "tiny-1", "tiny-2"]
    await backend.open()
    http = httpx.AsyncClient(transport=BackendTransport(backend))
    async with openai.AsyncOpenAI(base_url="http://engine/v1", api_key="none", http_client=http, max_retries=0) as made:
        yield made
    await backend.aclose()


async def first_token(client: openai.AsyncOpenAI, model: str) -> tuple[str, float]:
    """Return the likeliest next letter after the prompt, and the logarithm of its probability."""
    # bytes that are no letters have no entry in the probabilities, and the random model could end its answer at once
    letters: Any = {str(token): 100 for token in LETTERS}
    fields: Any = {"max_tokens": 1, "temperature": 0, "logprobs": 1, "logit_bias": letters}
    reply = await client.completions.create(model=model, prompt=PROMPT, **fields)
    assert reply.model == model
    logprobs: Any = reply.choices[0].logprobs
    return logprobs.tokens[0], logprobs.token_logprobs[0]


async def test_each_name_is_answered_with_its_adapter_and_no_other(client: openai.AsyncOpenAI) -> None:
    """The prompt stays the same, so that a cache that forgets who read it would show."""
    order = ["tiny", "tiny-1", "tiny", "tiny-2", "tiny-1", "tiny-2", "tiny"]
    answers = [await first_token(client, model) for model in order]
    first = {model: answers[order.index(model)] for model in set(order)}
    assert len(set(first.values())) == 3
    for model, (token, logprob) in zip(order, answers, strict=True):
        assert (token, logprob) == (first[model][0], pytest.approx(first[model][1], abs=0.02))


async def test_an_adapter_must_be_a_file_with_a_name_of_its_own(settings: LlamaCppSettings) -> None:
    given = {"tiny": settings.model, "other": "missing.gguf"}
    bad = LlamaCppSettings(name="tiny", model=settings.model, adapter_models=given)
    assert [(problem.where, problem.what.split("/")[-1]) for problem in llamacpp._check(bad, Path("/"))] == [
        ("adapter_models.tiny", "is the name of the model without an adapter"),
        ("adapter_models.other", "missing.gguf does not exist"),
    ]
