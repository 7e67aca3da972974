"""What goes out equals what came in, wherever nothing was changed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.ask import ClientKey, Mode, Turn
from gateway.exchange import Exchange, Sampling
from gateway.wire.chat import decode, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text(min_size=1).filter(lambda name: name not in {"messages", "model", "foreword", "stream", "user"})
OTHERS = st.dictionaries(
    NAMES.filter(
        lambda name: not name.startswith("max_") and name not in ("tools", "functions", "response_format", "prompt")
    ),
    JSON,
    max_size=4,
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text()}),
    min_size=1,
    max_size=4,
)


CHEAP_ONLY = ClientKey("app", models=("cheap",))


def _pairs(raw: bytes) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = json.loads(raw, object_pairs_hook=list)
    return pairs


def exchange_of(body: dict[str, object]) -> Exchange:
    return Exchange("x", decode.chat(json.dumps(body).encode(), {}))


@given(OTHERS, MESSAGES, st.text(min_size=1), st.text(min_size=1))
def test_only_the_models_name_differs(others: dict[str, object], messages: list[object], asked: str, sent: str) -> None:
    body = {**others, "messages": messages, "model": asked}

    out = json.loads(encode.body(exchange_of(body), sent))

    assert out == {**body, "model": sent}
    assert list(out) == list(body)


@given(OTHERS, MESSAGES)
def test_a_request_for_the_same_model_keeps_its_very_bytes(others: dict[str, object], messages: list[object]) -> None:
    body = {"model": "m", **others, "messages": messages}

    assert encode.body(exchange_of(body), "m") == json.dumps(body).encode()


@pytest.mark.parametrize(
    "other",
    [
        b'"model":"dear"',
        b'"Model":"dear"',
        b'"mod\\u0065l":"dear"',
        b'"MOD\\u0045L":"dear"',
        b'"\\u004dodel":"dear"',
    ],
)
@pytest.mark.parametrize("sent", ["cheap", "renamed"])
def test_no_server_finds_another_model_than_the_gateway_did(other: bytes, sent: str) -> None:
    raw = b'{%b,"model":"cheap","messages":[{"role":"user","content":"a"}]}' % other

    out = encode.body(Exchange("x", decode.chat(raw, {}), CHEAP_ONLY), sent)

    assert [value for name, value in _pairs(out) if name.lower() == "model"] == [sent]


@pytest.mark.parametrize(
    "name", ["models", "route", "fallbacks", "Models", "FALLBACKS", "m\\u006fdels", "\\u0072oute", "preset"]
)
def test_a_key_for_some_models_cannot_name_others_in_another_field(name: str) -> None:
    raw = b'{"model":"cheap","messages":[{"role":"user","content":"models"}],"%b":["dear"]}' % name.encode()
    ask = decode.chat(raw, {})

    kept = encode.body(Exchange("x", ask, CHEAP_ONLY), "cheap")
    assert json.loads(kept) == {"model": "cheap", "messages": [{"role": "user", "content": "models"}]}
    assert encode.body(Exchange("x", ask), "cheap") == raw


def test_talk_of_a_model_changes_no_byte() -> None:
    raw = rb"""{"model": "m", "x": {"Model": "n", "model": ["model"]}, "y": "\\u006d", "z": 1e999,
        "messages": [{"role": "user", "content": "a \"model\""}]}"""

    assert encode.body(Exchange("x", decode.chat(raw, {}), CHEAP_ONLY), "m") == raw


@given(OTHERS, MESSAGES, st.text())
def test_a_changed_prompt_keeps_every_other_field_and_message(
    others: dict[str, object], messages: list[object], text: str
) -> None:
    exchange = exchange_of({**others, "messages": messages, "model": "m"})
    changed = replace(exchange, turns=(Turn("system", text), *exchange.ask.turns))

    out = json.loads(encode.body(changed, "m"))

    assert out == {**others, "messages": [{"role": "system", "content": text}, *messages], "model": "m"}


def test_shadow_mode_sends_the_clients_bytes_whatever_the_stages_wrote() -> None:
    exchange = exchange_of({"model": "m", "messages": [{"role": "user", "content": "a"}]})
    shadow = replace(exchange, mode=Mode.SHADOW, turns=(Turn("user", "rewritten"),))

    assert encode.body(shadow, "m") == exchange.ask.raw


def test_a_templates_wishes_yield_to_the_clients() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}], "temperature": 0.3, "stop": None}
    wishes = Sampling(max_tokens=9, temperature=0.9, stop=("\n",))
    exchange = replace(exchange_of(body), turns=(Turn("user", "b"),), sampling=wishes)

    out = json.loads(encode.body(exchange, "m", room_field="max_completion_tokens"))

    assert (out["temperature"], out["stop"], out["max_completion_tokens"]) == (0.3, ["\n"], 9)


def test_a_length_that_the_client_set_is_not_set_twice() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}], "max_completion_tokens": 5}
    exchange = replace(exchange_of(body), turns=(Turn("user", "b"),), sampling=Sampling(max_tokens=9))

    assert "max_tokens" not in json.loads(encode.body(exchange, "m"))
