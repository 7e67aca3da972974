"""Serves `/v1/embeddings` with the sentence model that the gateway uses for classification and collections."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from gateway.ask import Endpoint
from gateway.backends.openai_tokens import text_of
from gateway.errors import NotFound, NotReady, Problem
from gateway.exchange import Exchange
from gateway.ports import Embedder, Headers, ModelCard, Reply
from gateway.registry import AdapterKind
from gateway.wire import embeddings
from gateway.wire.chat import encode

if TYPE_CHECKING:
    from gateway.ports import Vectors

JSON: Headers = ((b"content-type", b"application/json"),)
SHORT = 2000  # characters; counting shorter texts on the event loop is faster than a thread switch


class EmbedderSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "embedder"`: serves the model of `[embedder]` at `/v1/embeddings`."""

    name: str = "all-minilm-l6-v2"
    """The name by which clients request the model."""


class EmbeddingWorker(Protocol):
    """The shared embedder. It computes on its own worker thread."""

    embedder: Embedder

    async def embed(self, texts: Sequence[str]) -> "Vectors": ...


class SharesEmbedder(Protocol):
    """The field of `adapters.Parts` that this backend uses. The backend reads this field at each request, since the
    embedder loads after the start.
    """

    @property
    def embedder(self) -> EmbeddingWorker | None: ...


class EmbedderBackend:
    """Implements `ports.Backend`. Nothing is opened or closed here: the assembly owns the embedder."""

    def __init__(self, name: str, settings: EmbedderSettings, parts: SharesEmbedder) -> None:
        self.name = name
        self._settings = settings
        self._parts = parts

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def models(self) -> Sequence[ModelCard]:
        shared = self._parts.embedder
        window = shared.embedder.window_tokens if shared else 0
        return [ModelCard(self._settings.name, (Endpoint.EMBEDDING,), window)]

    def count_tokens(self, text: str) -> int:
        return self._shared().embedder.count_tokens(text)

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        if exchange.ask.endpoint is not Endpoint.EMBEDDING:
            raise NotFound(
                f"The model {self._settings.name!r} makes embeddings; it does not serve /v1/{exchange.ask.endpoint}.",
                param="model",
            )
        shared = self._shared()
        ask = embeddings.ask(encode.body(exchange, model), dimensions=shared.embedder.dimensions, text_of=text_of)
        vectors = await shared.embed(ask.texts)
        tokens = await self._tokens(ask.texts)
        shown = exchange.ask.model or self._settings.name
        body = embeddings.answer(shown, _cut(vectors, ask.dimensions), tokens, as_base64=ask.base64)
        return Reply(200, JSON, body, backend=self.name, model=model)

    async def _tokens(self, texts: Sequence[str]) -> int:
        if sum(map(len, texts)) <= SHORT:
            return sum(map(self.count_tokens, texts))
        return await asyncio.to_thread(lambda: sum(map(self.count_tokens, texts)))

    def _shared(self) -> EmbeddingWorker:
        shared = self._parts.embedder
        if shared is None:
            raise NotReady(f"The model {self._settings.name!r} is still loading.", retry_after_s=5.0)
        return shared


def _cut(vectors: "Vectors", dimensions: int) -> list[list[float]]:
    """Convert the vectors to lists. If `dimensions` is not 0, cut each vector to that length and normalise it again."""
    if dimensions and dimensions < vectors.shape[1]:
        import numpy as np

        vectors = vectors[:, :dimensions]
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    rows: list[list[float]] = vectors.tolist()
    return rows


def _check(settings: EmbedderSettings, _root: Path) -> Iterable[Problem]:
    if not settings.name:
        yield Problem("name", "must not be empty", 'For example name = "all-minilm-l6-v2".')


def _build(name: str, settings: EmbedderSettings, parts: Any) -> EmbedderBackend:
    return EmbedderBackend(name, settings, parts)


KIND = AdapterKind(EmbedderSettings, _build, _check)
