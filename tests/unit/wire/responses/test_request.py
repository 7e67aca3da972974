"""Requests for a response: what is read of them, and how a changed prompt goes back in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.ask import Ask, Mode, NamedTemplate, Turn
from gateway.errors import BadRequest
from gateway.exchange import Exchange, Sampling
from gateway.wire.chat import encode
from gateway.wire.responses import request as responses
from tests.unit.wire.chat.test_encode import JSON

OURS = {"model", "input", "instructions", "foreword", "prompt", "tools", "text", "temperature", "user", "stream"}
OTHERS = st.dictionaries(
    st.text(min_size=1).filter(lambda name: name not in OURS and not name.startswith(("max_", "previous", "conv"))),
    JSON,
    max_size=4,
)
ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "Hello"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]},
    {
        "role": "user",
        "content": [{"type": "input_text", "text": "Look"}, {"type": "input_image", "image_url": "data:,"}],
    },
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "7"},
    {"type": "item_reference", "id": "msg_1"},
    {"role": "user", "content": "And now?"},
]


def ask(**fields: Any) -> Ask:
    return responses.ask(json.dumps({"model": "m", **fields}).encode(), {})


def test_a_text_is_the_users_message() -> None:
    assert ask(input="Hello").turns == (Turn("user", "Hello", 0),)


def test_instructions_are_the_first_turn_and_each_item_is_one() -> None:
    read = ask(instructions="Be brief.", input=ITEMS)

    assert read.turns == (
        Turn("system", "Be brief.", 0),
        Turn("user", "Hello", 1),
        Turn("assistant", "Hi", 2),
        Turn("user", "", 3, plain=False),
        Turn("assistant", "", 4, plain=False),
        Turn("tool", "", 5, plain=False),
        Turn("assistant", "", 6, plain=False),
        Turn("user", "And now?", 7),
    )
    assert read.query == "And now?"


def test_what_forbids_a_rewrite_is_seen() -> None:
    assert ask(input="a", tools=[{"type": "web_search"}]).has_tools
    assert ask(input="a", text={"format": {"type": "json_object"}}).has_format
    assert not ask(input="a", text={"format": {"type": "text"}, "verbosity": "low"}).has_format
    assert ask(input="a", previous_response_id="resp_1").kept_elsewhere
    assert ask(input="a", conversation={"id": "c"}).kept_elsewhere
    assert ask(prompt={"id": "pmpt_1", "version": "2"}).kept_elsewhere
    assert ask(input="a", max_output_tokens=9, temperature=0).room_tokens == 9


def test_a_prompt_names_a_template_and_its_slots() -> None:
    variables = {"text": "A", "part": {"type": "input_text", "text": "B"}, "words": 30}

    assert ask(prompt={"id": "summarise", "version": "3", "variables": variables}).named == NamedTemplate(
        "summarise", 3, {"text": "A", "part": "B", "words": "30"}
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 7}, "input"),
        ({"instructions": ["a"]}, "instructions"),
        ({"prompt": {"version": "1"}}, "prompt.id"),
        ({"prompt": {"id": "a", "variables": {"x": {"type": "input_image", "image_url": "u"}}}}, "prompt.variables.x"),
        ({"prompt": {"id": "a", "variables": {"x": ["b"]}}}, "prompt.variables.x"),
        ({"prompt": {"id": "a", "variables": ["b"]}}, "prompt.variables"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        ask(**fields)
    assert refused.value.param == param
    assert f"'{param}'" in refused.value.message


@given(OTHERS, st.text(min_size=1), st.text(min_size=1))
def test_only_the_models_name_differs(others: dict[str, object], asked: str, sent: str) -> None:
    body = {**others, "input": "a", "model": asked}

    out = json.loads(encode.body(Exchange("x", responses.ask(json.dumps(body).encode(), {})), sent))

    assert out == {**body, "model": sent}
    assert list(out) == list(body)


@given(OTHERS, st.text())
def test_a_changed_prompt_keeps_every_other_field_and_item(others: dict[str, object], text: str) -> None:
    exchange = Exchange("x", ask(**others, instructions="Be brief.", input=ITEMS))
    kept = exchange.ask.turns

    added = replace(exchange, turns=(*kept[:-1], Turn("user", text)))
    merged = replace(exchange, turns=(Turn("system", text), *kept[1:]))

    same = {"model": "m", **others}
    told = json.loads(encode.body(added, "m"))
    assert told == {
        **same,
        "instructions": "Be brief.",
        "input": [*ITEMS[:-1], {"role": "user", "content": text}],
    }
    assert json.loads(encode.body(merged, "m")) == {**same, "instructions": text, "input": ITEMS}


def test_a_text_that_is_kept_becomes_an_item_and_a_template_sets_what_the_client_left_open() -> None:
    exchange = Exchange("x", ask(input="Hello", temperature=1))
    wished = Sampling(max_tokens=20, temperature=0.0, stop=("\n",))

    body = json.loads(
        encode.body(replace(exchange, turns=(Turn("system", "S"), *exchange.ask.turns), sampling=wished), "m")
    )

    assert body == {
        "model": "m",
        "instructions": "S",
        "input": [{"role": "user", "content": "Hello"}],
        "temperature": 1,
        "max_output_tokens": 20,
    }


def test_a_named_prompt_is_sent_in_its_place_in_any_mode() -> None:
    read = ask(input="Hello", prompt={"id": "greet"})
    filled = replace(read, turns=(Turn("user", "Greet!"), *read.turns), named=NamedTemplate("greet", filled=True))

    for mode in Mode:
        assert json.loads(encode.body(Exchange("x", filled, mode=mode), "m")) == {
            "model": "m",
            "input": [{"role": "user", "content": "Greet!"}, {"role": "user", "content": "Hello"}],
        }
