"""Requests and answers of Anthropic's API that are allowed but rare."""

import json

import pytest
from msgspec import Raw
from msgspec.json import decode

from gateway.ask import Turn
from gateway.wire.messages import as_stream, request
from gateway.wire.messages.losses import Losses
from gateway.wire.messages.of_chat import messages_body
from gateway.wire.messages.request import put_turns
from gateway.wire.messages.token_count import countable
from gateway.wire.sse import data_in


def test_an_empty_system_with_blanks_is_no_turn() -> None:
    body = b'{"model": "m", "system": [ ], "messages": [{"role": "user", "content": "Hi"}]}'
    fields = decode(body, type=dict[str, Raw])

    put_turns(fields, (Turn("system", "Be brief.", -1), *request.ask(body, {}).turns))

    assert json.loads(bytes(fields["messages"])) == [{"role": "user", "content": "Hi"}]


def test_the_texts_of_a_document_in_blocks_are_counted() -> None:
    source = {"type": "content", "content": [{"type": "text", "text": "many words"}]}
    content = [{"type": "document", "source": source}]

    text, extra = countable(json.dumps({"messages": [{"role": "user", "content": content}]}).encode())

    assert text == "many words" and extra < 100


@pytest.mark.parametrize(("kind", "field", "empty"), [("text", "text", ""), ("tool_use", "input", "{}")])
@pytest.mark.parametrize("block", [{}, {"text": None, "input": None}])
def test_a_block_without_content_is_streamed_as_an_empty_one(
    kind: str, field: str, empty: str, block: dict[str, object]
) -> None:
    message = {"type": "message", "content": [{"type": kind, **block}]}

    sent = b"".join(as_stream.events(json.dumps(message).encode()))

    (delta,) = [json.loads(data)["delta"] for data in data_in(sent) if b"content_block_delta" in data]
    assert delta["partial_json" if field == "input" else field] == empty


def test_thinking_that_a_gemini_model_signed_is_left_out_for_anthropics_api() -> None:
    own = {"type": "thinking", "thinking": 'He said: "signature":"gemini:x"', "signature": "of-claude"}
    foreign = {"type": "thinking", "thinking": "", "signature": "gemini:c2ln"}
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "thinking_blocks": [own, foreign]}]
    losses = Losses()

    made = json.loads(messages_body(json.dumps({"model": "m", "max_tokens": 9, "messages": talk}).encode(), 9, losses))

    assert made["messages"][1]["content"] == [own, {"type": "text", "text": "b"}]
    note = losses.note()
    assert note is not None and note.data["left_out"] == ["thinking_blocks"]
