"""What we read of a request, and how we refuse what we cannot read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ask import Controls, Mode, Turn
from gateway.errors import BadRequest
from gateway.wire.chat import decode


def ask_of(**fields: Any) -> Any:
    return decode.chat(json.dumps({"messages": [{"role": "user", "content": "a"}], **fields}).encode(), {})


@given(st.binary())
def test_any_bytes_are_read_or_refused_as_a_bad_request(raw: bytes) -> None:
    try:
        decode.chat(raw, {})
    except BadRequest as error:
        assert error.status == 400


def test_a_single_text_part_is_plain_text() -> None:
    parts = [{"type": "text", "text": "hello"}]

    ask = ask_of(messages=[{"role": "user", "content": parts}])

    assert ask.turns == (Turn("user", "hello", 0),)
    assert ask.query == "hello"


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": "data:"}}],
        [{"type": "text", "text": {"not": "a text"}}],
        [{"type": "future", "text": "x"}],
        [1],
        None,
    ],
)
def test_what_is_not_one_plain_text_is_left_to_the_backend(content: Any) -> None:
    ask = ask_of(messages=[{"role": "user", "content": content}])

    assert ask.turns == (Turn("user", "", 0, plain=False),)
    assert ask.query == ""


def test_an_assistants_tool_call_is_not_plain_although_it_has_text() -> None:
    message = {"role": "assistant", "content": "let me look", "tool_calls": [{"id": "c"}]}

    assert not ask_of(messages=[message]).turns[0].plain


@pytest.mark.parametrize(
    ("fields", "tools", "format"),
    [
        ({}, False, False),
        ({"tools": [], "functions": None, "response_format": None}, False, False),
        ({"tools": [{"type": "function"}]}, True, False),
        ({"functions": [{"name": "f"}]}, True, False),
        ({"response_format": {"type": "text"}}, False, False),
        ({"response_format": {"type": "json_object"}}, False, True),
    ],
)
def test_tools_and_formats_are_seen_only_where_there_are_some(fields: Any, tools: bool, format: bool) -> None:
    ask = ask_of(**fields)

    assert (ask.has_tools, ask.has_format) == (tools, format)


@pytest.mark.parametrize(
    ("fields", "room"), [({"max_tokens": 0}, 0), ({"max_completion_tokens": -5}, 0), ({"max_tokens": 7}, 7)]
)
def test_a_length_that_makes_no_sense_is_the_backends_to_judge(fields: Any, room: int) -> None:
    assert ask_of(**fields).room_tokens == room


@pytest.mark.parametrize(("n", "choices"), [("3", 3), ("null", 1), ("2.5", 1), ("1" * 5000, 1)])
def test_a_number_of_choices_that_makes_no_sense_is_the_backends_to_judge(n: str, choices: int) -> None:
    ask = decode.chat(b'{"messages":[{"role":"user","content":"a"}],"n":%b}' % n.encode(), {})

    assert ask.choices == choices


def test_a_request_can_require_its_collections() -> None:
    body = {"messages": [{"role": "user", "content": "a"}], "foreword": {"collections": ["handbook"]}}
    required = {**body, "foreword": {"collections": ["handbook"], "collections_required": True}}

    assert not decode.chat(json.dumps(body).encode(), {}).controls.collections_required
    assert decode.chat(json.dumps(required).encode(), {}).controls.collections_required


def test_the_body_says_more_than_the_headers() -> None:
    raw = json.dumps({"messages": [{"role": "user", "content": "a"}], "foreword": {"mode": "shadow"}}).encode()
    headers = {b"x-foreword-mode": b"off", b"x-foreword-collections": "Händbuch, wiki".encode()}

    ask = decode.chat(raw, headers)

    assert ask.controls == Controls(mode=Mode.SHADOW, collections=("Händbuch", "wiki"), account=True)
    assert ask.marked


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"foreword": {"mod": "off"}}, "foreword.mod"),
        ({"foreword": {"top_k": 1000}}, "foreword.top_k"),
        ({"model": 5}, "model"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": [{"content": "a"}]}, "messages[0].role"),
        ({"messages": "hi"}, "messages"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_field_is_named(fields: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        ask_of(**fields)

    assert caught.value.param is not None
    assert caught.value.param.replace("[...]", "[0]") == param


def test_a_wrong_mode_in_a_header_names_the_right_ones() -> None:
    with pytest.raises(BadRequest, match="off, shadow, proven, on"):
        decode.chat(b'{"messages":[{"role":"user","content":"a"}]}', {b"x-foreword-mode": b"maybe"})
