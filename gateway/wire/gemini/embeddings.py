"""Translates `/v1/embeddings` requests to the Gemini API and to Vertex AI, and their answers back."""

from typing import Any

import msgspec

from gateway.errors import BackendFailed
from gateway.wire import embeddings
from gateway.wire.chat.completion import loose_json, tokens_of
from gateway.wire.chat.request import given_fields
from gateway.wire.loose_objects import object_of, objects_of
from gateway.wire.messages.losses import Losses

_encode = msgspec.json.Encoder().encode
MOST_DIMENSIONS = 2**20
ANSWERED = ("model", "input", "encoding_format", "dimensions", "user")
BYTES_PER_TOKEN = 4


def batch_body(body: bytes, model: str, losses: Losses) -> bytes:
    """Return the body of `batchEmbedContents`. Fields of no API pass unchanged into each request."""
    asked, extra = _asked(body, losses)
    size = {"outputDimensionality": asked.dimensions} if asked.dimensions else {}
    name = model if model.startswith("models/") else f"models/{model}"
    requests = [{"model": name, "content": {"parts": [{"text": text}]}, **size, **extra} for text in asked.texts]
    return _encode({"requests": requests})


def predict_body(body: bytes, losses: Losses) -> bytes:
    """Return the body of Vertex AI's `predict`. Fields of no API pass unchanged into each instance."""
    asked, extra = _asked(body, losses)
    size = {"parameters": {"outputDimensionality": asked.dimensions}} if asked.dimensions else {}
    return _encode({"instances": [{"content": text, **extra} for text in asked.texts], **size})


def list_of(body: bytes, request: bytes, model: str, losses: Losses) -> bytes:
    """Translate the answer of either API. Raises `BackendFailed` if it has not one vector for each text."""
    asked = embeddings.ask(request, dimensions=MOST_DIMENSIONS, text_of=lambda _: None)
    answer = object_of(loose_json(body))
    own = objects_of(answer.get("embeddings"))
    at_vertex = [object_of(each.get("embeddings")) for each in objects_of(answer.get("predictions"))]
    vectors = [_vector(each.get("values")) for each in own or at_vertex]
    if len(vectors) != len(asked.texts):
        raise BackendFailed("The backend's answer has not one vector for each text.", code="not_an_api")
    tokens = tokens_of(object_of(answer.get("usageMetadata")).get("promptTokenCount"))
    if tokens is None and at_vertex:
        counts = [tokens_of(object_of(each.get("statistics")).get("token_count")) for each in at_vertex]
        tokens = sum(count or 0 for count in counts)
    if tokens is None:
        tokens = sum(max(1, len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN) for text in asked.texts)
        losses.add("usage", "estimated from the length of the texts")
    return embeddings.answer(model, vectors, tokens, as_base64=asked.base64)


def _asked(body: bytes, losses: Losses) -> tuple[embeddings.EmbeddingAsk, dict[str, Any]]:
    given = given_fields(body)
    if "user" in given:
        losses.add("user")
    asked = embeddings.ask(body, dimensions=MOST_DIMENSIONS, text_of=lambda _: None)
    return asked, {name: value for name, value in given.items() if name not in ANSWERED}


def _vector(values: Any) -> list[float]:
    if isinstance(values, list) and all(map(_is_number, values)):
        return values
    raise BackendFailed("The backend's answer has a vector that is not a list of numbers.", code="not_an_api")


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**63)
