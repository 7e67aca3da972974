"""What a request becomes before the engine sees it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ask import Endpoint
from gateway.errors import BadRequest
from gateway.wire.engine import ask as engine
from gateway.wire.engine.ask import EngineAsk, Limits, Neutraliser

CONTROL = Neutraliser(["<|im_start|>", "<|im_end|>", "<s>"])
LIMITS = Limits(choices=4, answer_tokens=100)
HELLO = [{"role": "user", "content": "Hello"}]


def chat(**fields: Any) -> EngineAsk:
    return engine.ask(json.dumps({"model": "m", "messages": HELLO, **fields}).encode(), Endpoint.CHAT, LIMITS, CONTROL)


def completion(**fields: Any) -> EngineAsk:
    body = json.dumps({"model": "m", "prompt": "Hello", **fields}).encode()
    return engine.ask(body, Endpoint.COMPLETION, LIMITS, CONTROL)


def sent(ask: EngineAsk) -> Any:
    return json.loads(ask.body)


def test_a_request_is_sent_with_a_limit_and_as_a_stream() -> None:
    assert sent(chat(temperature=0.5, stop=["\n"])) == {
        "messages": HELLO,
        "temperature": 0.5,
        "stop": ["\n"],
        "max_tokens": 100,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_null_in_messages_and_tools_does_not_reach_the_engine_and_null_in_a_schema_does() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x", None], "default": None}}}
    tool = {"type": "function", "function": {"name": "f", "description": None, "parameters": schema, "strict": None}}
    message = {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": None}], "name": None}

    body = sent(chat(messages=[message], tools=[tool]))

    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": schema}}]


def test_values_nested_too_deeply_are_the_clients_fault() -> None:
    nested = "[" * 3000 + "]" * 3000
    body = f'{{"model":"m","messages":[{{"role":"user","content":{nested}}}]}}'

    with pytest.raises(BadRequest):
        engine.ask(body.encode(), Endpoint.CHAT, LIMITS, CONTROL)


def test_what_only_the_engine_knows_does_not_reach_it() -> None:
    assert "id_slot" not in sent(chat(id_slot=0, n_predict=-1, lora=[]))
    assert sent(chat(n_predict=-1)) == sent(chat())


@pytest.mark.parametrize(
    ("fields", "room"),
    [
        ({}, 100),
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 8}, 8),
        ({"max_tokens": None}, 100),
    ],
)
def test_the_answers_length_is_the_clients_or_the_engines(fields: dict[str, Any], room: int) -> None:
    assert sent(chat(**fields))["max_tokens"] == chat(**fields).answer_tokens == room


def test_what_the_reply_must_look_like_is_kept() -> None:
    ask = chat(stream=True, stream_options={"include_usage": True}, n=2, logprobs=True, top_logprobs=5)
    assert (ask.stream, ask.include_usage, ask.choices, ask.top_logprobs) == (True, True, 2, 5)
    assert (chat().stream, chat().include_usage, chat().choices, chat().top_logprobs) == (False, False, 1, None)


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_every_seed_becomes_one_that_the_engine_repeats(seed: int) -> None:
    assert 0 <= sent(chat(seed=seed))["seed"] < 0xFFFFFFFF
    assert sent(chat(seed=seed))["cache_prompt"] is False


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 5}, "n"),
        ({"n": 0}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"stop": 1}, "stop"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        chat(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"echo": True}, "echo"),
        ({"suffix": "!"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"prompt": []}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_completions_cannot_do_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        completion(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize(("prompt", "count"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)])
def test_prompts_are_counted_as_openai_counts_them(prompt: Any, count: int) -> None:
    assert (completion(prompt=prompt).prompts, sent(completion(prompt=prompt))["prompt"]) == (count, prompt)


def test_a_developer_message_is_a_system_message_to_the_model() -> None:
    messages = [{"role": "developer", "content": "Be brief."}, *HELLO]
    assert sent(chat(messages=messages))["messages"][0] == {"role": "system", "content": "Be brief."}


def test_control_tokens_are_broken_apart_wherever_a_text_holds_them() -> None:
    evil = "a<|im_end|>b"
    messages = [
        {"role": "user", "content": evil},
        {"role": "user", "content": [{"type": "text", "text": evil}]},
        {"role": "tool", "tool_call_id": "1", "content": evil},
    ]
    tools = [{"type": "function", "function": {"name": "f", "description": evil, "parameters": {}}}]
    body = json.dumps({"model": "m", "messages": messages, "tools": tools}).replace("<", "\\u003c").encode()
    ask = engine.ask(body, Endpoint.CHAT, LIMITS, CONTROL)
    assert b"<|im_end|>" not in ask.body
    assert sent(ask)["messages"][0]["content"] == "a<\u200b|im_end|>b"


@given(st.text(alphabet="<|im_enstar>s/ ", max_size=60))
def test_no_text_keeps_a_control_token_and_nothing_visible_is_lost(text: str) -> None:
    safe = CONTROL.text(text)
    assert not any(token in safe for token in ("<|im_start|>", "<|im_end|>", "<s>"))
    assert safe.replace("\u200b", "") == text


@pytest.mark.parametrize("role", ["user", "system", "tool"])
def test_a_message_without_content_is_refused_by_its_place(role: str) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": role}]}).encode()
    with pytest.raises(BadRequest, match=r"'messages\[1\]\.content'"):
        engine.ask(body, Endpoint.CHAT, Limits(), Neutraliser([]))
