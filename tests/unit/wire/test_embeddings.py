"""`/v1/embeddings`: what may come in and what goes out."""

import base64
import json
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.wire import embeddings
from gateway.wire.embeddings import EmbeddingAsk


def ask(**fields: Any) -> EmbeddingAsk:
    return embeddings.ask(json.dumps(fields).encode(), dimensions=4, text_of=spelled)


def spelled(tokens: Sequence[int]) -> str | None:
    """Tokens 1 to 26 as letters."""
    return "".join(chr(96 + token) for token in tokens) if all(0 < token < 27 for token in tokens) else None


def test_a_text_and_a_list_of_texts_are_taken() -> None:
    assert ask(input="a") == EmbeddingAsk(("a",))
    assert ask(input=["a", "b"], encoding_format="base64", dimensions=2) == EmbeddingAsk(("a", "b"), True, 2)


def test_token_numbers_are_the_texts_that_they_stand_for() -> None:
    assert ask(input=[1, 2]).texts == ("ab",)
    assert ask(input=[[1, 2], [3]]).texts == ("ab", "c")
    assert ask(input=["x", [3]]).texts == ("x", "c")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, 99]}, "input"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [[1], [99]]}, "input"),
        ({"input": [[True]]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": ["a", None]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "dimensions": 5}, "dimensions"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
    ],
)
def test_what_cannot_be_embedded_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        ask(**fields)
    assert refused.value.param == param


def test_an_answer_holds_floats_or_the_same_numbers_in_base64() -> None:
    vectors = [[0.5, -0.25], [1.0, 0.0]]
    plain = json.loads(embeddings.answer("mini", vectors, 3, as_base64=False))
    assert plain == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]},
            {"object": "embedding", "index": 1, "embedding": [1.0, 0.0]},
        ],
        "model": "mini",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    packed = json.loads(embeddings.answer("mini", vectors, 3, as_base64=True))
    assert [list(struct.unpack("<2f", base64.b64decode(one["embedding"]))) for one in packed["data"]] == vectors
