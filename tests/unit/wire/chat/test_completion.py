"""The reader of completions: whatever one field holds, the others are read."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ask import Endpoint
from gateway.wire.chat.answer import read_answer
from gateway.wire.chat.completion import read_completion
from gateway.wire.chat.faults import fault_of
from gateway.wire.responses import request as responses
from gateway.wire.responses.answer import Translator, head_of, whole
from gateway.wire.stream_ends import start_of

HEAD = head_of("fw-1", responses.ask(b'{"model":"m","input":"a"}', {}), "m", 7)
CALL = {"index": 0, "id": "c0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
SAID = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm", "refusal": None, "tool_calls": [CALL]}
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}]}
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 3,
    "total_tokens": 8,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}


def answer_with(field: str) -> dict[str, Any]:
    choice = {"index": 0, field: copy.deepcopy(SAID), "logprobs": LOGPROBS, "finish_reason": "tool_calls"}
    return {"id": "c1", "object": "x", "created": 1, "model": "m", "choices": [choice], "usage": copy.deepcopy(USAGE)}


WHOLE, CHUNK = answer_with("message"), answer_with("delta")
MISSING = object()
VALUES = [None, True, 0, 7, -3.5, 1e300, "", "x", [], [1, None, "x", {}], {}, {"text": "x"}, MISSING]


def paths(value: Any, ahead: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if ahead:
        yield ahead
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from paths(inner, (*ahead, key))


def mutated(answer: dict[str, Any], path: tuple[str | int, ...], value: object) -> bytes:
    changed = copy.deepcopy(answer)
    *ahead, last = path
    place: Any = changed
    for key in ahead:
        place = place[key]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return json.dumps(changed).encode()


each_field = pytest.mark.parametrize("path", list(paths(WHOLE)), ids=lambda path: ".".join(map(str, path)))
HOLDS_TEXT = [("choices",), ("choices", 0), ("choices", 0, "message"), ("choices", 0, "message", "content")]
HOLDS_CALL = [
    *HOLDS_TEXT[:3],
    ("choices", 0, "message", "tool_calls"),
    ("choices", 0, "message", "tool_calls", 0),
    ("choices", 0, "message", "tool_calls", 0, "function"),
    ("choices", 0, "message", "tool_calls", 0, "function", "name"),
]


@each_field
def test_one_odd_field_of_a_whole_answer_costs_that_field_alone(path: tuple[str | int, ...]) -> None:
    for value in VALUES:
        check_whole(path, value)


def check_whole(path: tuple[str | int, ...], value: object) -> None:
    body = mutated(WHOLE, path, value)
    answer = read_answer(body, "application/json")
    fault = fault_of(body)

    assert fault is None
    if path not in HOLDS_TEXT:
        assert answer.text == "Hi"
        output = json.loads(whole(body, HEAD))["output"]
        messages = [item["content"][0] for item in output if item["type"] == "message"]
        assert [part["text"] for part in messages if part["type"] == "output_text"] == ["Hi"]
        if path not in HOLDS_CALL:
            assert [item["name"] for item in output if item["type"] == "function_call"] == ["f"]
    if path[0] != "usage":
        assert (answer.prompt_tokens, answer.completion_tokens) == (5, 3)
        assert (answer.cached_tokens, answer.reasoning_tokens) == (2, 1)


@each_field
def test_one_odd_field_of_a_chunk_costs_that_field_alone(path: tuple[str | int, ...]) -> None:
    for value in VALUES:
        check_chunk(path, value)


def check_chunk(path: tuple[str | int, ...], value: object) -> None:
    path = tuple("delta" if key == "message" else key for key in path)
    piece = b"data: " + mutated(CHUNK, path, value) + b"\n\n"
    stream = piece + b"data: [DONE]\n\n"
    translator = Translator(HEAD)
    events = translator.feed(stream) + translator.end()

    assert b"response.completed" in events
    assert translator.failure is None
    assert start_of(stream, Endpoint.CHAT).fault is None
    if tuple("message" if key == "delta" else key for key in path) not in HOLDS_TEXT:
        assert b'"delta":"Hi"' in events
        assert read_answer(stream, "text/event-stream").text == "Hi"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["choices", "message", "delta", "content", "usage", "error", "type"]), inner)
    ),
    max_leaves=8,
)


@given(JSON)
def test_no_json_is_too_odd_to_be_read(value: Any) -> None:
    body = json.dumps(value).encode()

    read_answer(body, "application/json")
    fault_of(body)
    start_of(b"data: " + body + b"\n\n", Endpoint.CHAT)
    translator = Translator(HEAD)
    translator.feed(b"data: " + body + b"\n\n")
    assert b"response." in translator.end() or translator.failure is not None


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, (-1, -1, -1, -1)),
        ({"prompt_tokens": 3.0, "completion_tokens": "2"}, (3, 2, -1, -1)),
        ({"prompt_tokens": None, "completion_tokens": 2}, (-1, 2, -1, -1)),
        ({"prompt_tokens": -4, "completion_tokens": 1e400, "prompt_cache_hit_tokens": 7}, (-1, -1, 7, -1)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 8}}, (9, -1, 8, -1)),
        ({"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 8}}, (-1, 9, -1, 8)),
    ],
)
def test_usage_is_read_field_by_field(usage: Any, tokens: tuple[int, ...]) -> None:
    body = json.dumps({"choices": [], "usage": usage}).encode()
    answer = read_answer(body, "application/json")

    read = (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens, answer.reasoning_tokens)
    assert read == tokens


@pytest.mark.parametrize(
    ("content", "text", "thought"),
    [
        ("Hi", "Hi", ""),
        ([{"type": "text", "text": "H"}, "i"], "Hi", ""),
        ([{"type": "output_text", "text": "Hi"}, {"type": "image_url", "image_url": {}}], "Hi", ""),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Hi"}],
            "Hi",
            "Hm",
        ),
        ([{"type": "reasoning", "text": "Hm"}], "", "Hm"),
        ({"type": "text", "text": "Hi"}, "Hi", ""),
        ([None, 7, []], "", ""),
    ],
)
def test_content_may_be_parts(content: Any, text: str, thought: str) -> None:
    completion = read_completion(json.dumps({"choices": [{"message": {"content": content}}]}).encode())
    assert completion is not None
    assert completion.first is not None
    assert completion.first.message_part is not None

    assert (completion.first.words, completion.first.message_part.thought) == (text, thought)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"busy","code":429}}', "busy", 429),
        (b'{"error":"busy"}', "busy", None),
        (b'{"error":{"message":"busy","code":"x","type":"y"},"choices":[]}', "busy", "x"),
        (b'{"error":["busy"]}', "busy", None),
        (b'{"error":true}', None, None),
        (b'{"object":"error","message":"busy","code":400}', "busy", 400),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}', "busy", None),
        (b'{"choices":[{"message":{"content":"half"},"finish_reason":"error"}]}', None, None),
        (b'{"choices":[{"delta":{},"finish_reason":"error","error":{"message":"busy"}}]}', "busy", None),
    ],
)
def test_a_failure_is_read_in_every_form(body: bytes, message: str | None, code: str | int | None) -> None:
    fault = fault_of(body)
    assert fault is not None

    assert (fault.message, fault.code) == (message, code)


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":[{"message":{"content":"\\"error\\""}}],"error":null}',
        b'{"choices":[{"message":{"content":"Hi"}}],"error":{"message":"a warning"}}',
        b'{"choices":[{"message":{"tool_calls":[{"function":{"name":"error"}}]}}]}',
    ],
)
def test_an_answer_is_no_failure(body: bytes) -> None:
    assert fault_of(body) is None


def test_what_only_python_writes_is_read_and_can_be_written_again() -> None:
    choice = b'{"message":{"content":"\\ud83d \xff"},"logprobs":{"content":[{"logprob":-Infinity}]}}'
    body = b'\xef\xbb\xbf{"choices":[' + choice + b"]}"
    completion = read_completion(body)
    assert completion is not None
    assert completion.first is not None

    assert completion.first.words == "\ufffd \ufffd"
    assert msgspec.json.encode(completion.first.token_logprobs) == b'[{"logprob":null}]'
