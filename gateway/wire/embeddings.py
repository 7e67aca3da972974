"""Decodes `/v1/embeddings` requests in OpenAI's JSON, and encodes vectors as answers to these requests."""

import array
import base64
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.errors import BadRequest
from gateway.wire.json_fields import decoded

_encode = msgspec.json.Encoder().encode
MOST_INPUTS = 2048  # OpenAI's limit


class EmbeddingAsk(Struct, frozen=True):
    """The texts to embed. If `dimensions` is 0, the vectors have all dimensions of the model."""

    texts: tuple[str, ...]
    base64: bool = False
    dimensions: int = 0


class _EmbeddingsBody(Struct):
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None


_body = msgspec.json.Decoder(_EmbeddingsBody)


TextOf = Callable[[Sequence[int]], str | None]
"""A function that converts token numbers to text, or returns None if a number is not a known token."""


def ask(body: bytes, *, dimensions: int, text_of: TextOf) -> EmbeddingAsk:
    """Decode a request. `dimensions` is the number of the model's dimensions. Raises `BadRequest` with OpenAI's
    wording."""
    given = decoded(_body, body)
    if given.dimensions is not None and given.dimensions > dimensions:
        raise BadRequest(f"This model has {dimensions} dimensions, not {given.dimensions}.", param="dimensions")
    return EmbeddingAsk(_texts(given.input, text_of), given.encoding_format == "base64", given.dimensions or 0)


def answer(model: str, vectors: Sequence[Sequence[float]], tokens: int, *, as_base64: bool) -> bytes:
    """Return the body. Each vector is a list of float32 numbers, or the base64 of their little-endian bytes."""
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if as_base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encode({"object": "list", "data": data, "model": model, "usage": usage})


def _texts(given: str | list[Any], text_of: TextOf) -> tuple[str, ...]:
    is_one = isinstance(given, str) or (bool(given) and _is_number(given[0]))
    texts: list[Any] = [given] if is_one else list(given)
    if not texts:
        raise BadRequest("'input' is empty: give a text or a list of texts.", param="input")
    if len(texts) > MOST_INPUTS:
        raise BadRequest(
            f"'input' holds {len(texts)} texts; one request may hold at most {MOST_INPUTS}.", param="input"
        )
    for index, text in enumerate(texts):
        if isinstance(text, list):
            text = texts[index] = _text(text, text_of)
        if not isinstance(text, str):
            raise BadRequest(f"'input[{index}]' is not a text.", param="input")
        if not text:
            raise BadRequest(f"'input[{index}]' is an empty text.", param="input")
    return tuple(texts)


def _text(tokens: list[Any], text_of: TextOf) -> str:
    text = text_of(tokens) if all(map(_is_number, tokens)) else None
    if text is None:
        raise BadRequest(
            "'input' holds numbers that are not tokens of cl100k_base, or this encoding is not installed. Send texts.",
            param="input",
        )
    return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _base64(vector: Sequence[float]) -> str:
    numbers = array.array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
