"""A stored response's input as items, and what carries on from it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.ask import Ask, Controls, Turn
from gateway.wire.responses import request as responses
from gateway.wire.responses.stored import Lost, carried_on, input_of, listed

OUTPUT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}
CALL = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c1"}
RESPONSE = json.dumps({"output": [OUTPUT, CALL]}).encode()


def ask(**fields: Any) -> Ask:
    return responses.ask(json.dumps({"model": "m", **fields}).encode(), {})


def items(found: list[Any]) -> list[Any]:
    return [json.loads(bytes(raw)) for raw in found]


def test_the_input_is_what_the_client_sent_without_the_instructions() -> None:
    first = ask(instructions="Be brief.", input=[{"role": "user", "content": "Hi", "other": 1}, CALL])

    assert items(input_of(first.raw, first.turns)) == [{"role": "user", "content": "Hi", "other": 1}, CALL]


def test_a_templates_messages_are_part_of_the_input() -> None:
    first = ask(prompt={"id": "t"}, input="Hurry")
    turns = (Turn("system", "Be brief."), Turn("user", "Shorten this."), *first.turns)

    assert [item["content"] for item in items(input_of(first.raw, turns))] == ["Shorten this.", "Hurry"]


def test_a_body_that_was_too_long_is_given_as_its_texts_or_not_at_all() -> None:
    assert items(input_of(b"", (Turn("user", "long", 0),))) == [{"role": "user", "content": "long"}]
    with pytest.raises(Lost):
        input_of(b"", (Turn("user", "", 0, plain=False),))


def test_what_carries_on_has_the_earlier_input_and_output_ahead() -> None:
    first = ask(instructions="Once.", input="Hi")
    next = replace(ask(input="And?", previous_response_id="resp_1", seed=7), controls=Controls(top_k=3))

    done = carried_on(next, input_of(first.raw, first.turns), RESPONSE)

    user = {"role": "user", "content": "Hi"}
    body = {"model": "m", "seed": 7, "input": [user, OUTPUT, CALL, {"role": "user", "content": "And?"}]}
    assert json.loads(done.raw) == body
    assert [(turn.role, turn.text, turn.plain) for turn in done.turns] == [
        ("user", "Hi", True),
        ("assistant", "Hello.", True),
        ("assistant", "", False),
        ("user", "And?", True),
    ]
    assert (done.previous, done.controls.top_k, done.kept_elsewhere) == ("resp_1", 3, False)


@given(st.integers(0, 12), st.integers(1, 5), st.booleans())
def test_pages_hold_every_item_once_and_in_order(count: int, limit: int, newest_first: bool) -> None:
    stored = input_of(b"", tuple(Turn("user", str(number)) for number in range(count)))
    seen, after = [], ""
    while True:
        page = json.loads(listed(stored, "x", after=after, limit=limit, newest_first=newest_first))
        seen += [item["content"][0]["text"] for item in page["data"]]
        if not page["has_more"]:
            break
        after = page["last_id"]
    wanted = [str(number) for number in range(count)]
    assert seen == (wanted[::-1] if newest_first else wanted)
