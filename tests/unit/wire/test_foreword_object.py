"""A wrong key of the `foreword` object is refused in each API, and the error names the nearest key."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.ask import Ask
from gateway.errors import BadRequest
from gateway.wire.chat import decode
from gateway.wire.messages import request as messages
from gateway.wire.responses import request as responses

TALK = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
Decode = Callable[[bytes, Mapping[bytes, bytes]], Ask]
APIS: dict[str, tuple[Decode, dict[str, Any]]] = {
    "chat": (decode.chat, TALK),
    "completion": (decode.completion, {"model": "m", "prompt": "a"}),
    "embedding": (decode.embedding, {"model": "m", "input": "a"}),
    "responses": (responses.ask, {"model": "m", "input": "a"}),
    "messages": (messages.ask, TALK),
    "token count": (messages.token_count, TALK),
}


@pytest.mark.parametrize(("read", "body"), APIS.values(), ids=APIS)
@pytest.mark.parametrize(
    ("key", "hint"),
    [("tempalte", "Did you mean 'template'?"), ("Mode", "Did you mean 'mode'?"), ("xyz", "Known: mode, template, ")],
)
def test_a_wrong_key_is_refused_with_the_nearest(read: Decode, body: dict[str, Any], key: str, hint: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(json.dumps({**body, "foreword": {key: "x"}}).encode(), {})
    assert refused.value.param == f"foreword.{key}"
    assert hint in refused.value.message


@pytest.mark.parametrize(("read", "body"), APIS.values(), ids=APIS)
def test_a_foreword_object_is_not_sent_on_and_a_misspelt_one_is(read: Decode, body: dict[str, Any]) -> None:
    assert read(json.dumps({**body, "foreword": {"tags": ["a"]}}).encode(), {}).marked
    assert not read(json.dumps({**body, "forword": {"tags": ["a"]}}).encode(), {}).marked
