"""null in an optional field of a request means that the field is absent."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, Endpoint
from gateway.errors import BadRequest
from gateway.wire import embeddings, feedback, preview
from gateway.wire.chat import decode
from gateway.wire.engine import ask as engine
from gateway.wire.responses import request as responses
from gateway.wire.responses.as_chat import chat_body
from gateway.wire.stores import vector_stores as stores

FOREWORD: dict[str, Any] = {
    "mode": "off",
    "template": "t",
    "collections": ["a"],
    "filters": {"type": "eq", "key": "a", "value": 1},
    "top_k": 3,
    "budget_tokens": 5,
    "conversation": "c",
    "contexts": ["x"],
    "strategy": "nbce",
    "pooling": "mean",
    "beta": 0.5,
    "eta": 0.2,
    "gamma": 1,
    "alpha": 0.1,
    "scores": [0.5],
    "closing_event": False,
}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FUNCTION = {"name": "f", "description": "d", "parameters": {}, "strict": True}
SCHEMA = {"type": "json_schema", "name": "n", "schema": {}, "strict": True, "description": "d"}
SAMPLING: dict[str, Any] = {
    "model": "m",
    "stream": True,
    "max_tokens": 5,
    "temperature": 0,
    "top_p": 0.5,
    "n": 1,
    "stop": "x",
    "seed": 3,
    "stream_options": {"include_usage": True},
    "user": "u",
    "foreword": FOREWORD,
}
CHAT = {
    **SAMPLING,
    "messages": [
        {"role": "user", "content": "a", "name": "n"},
        {"role": "assistant", "content": "b", "tool_calls": [CALL], "function_call": CALL["function"], "refusal": "r"},
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
    ],
    "max_completion_tokens": 7,
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": "auto",
    "functions": [FUNCTION],
    "logprobs": True,
    "top_logprobs": 2,
    "response_format": {"type": "json_object"},
}
RESPONSE = {
    "model": "m",
    "input": [
        {"type": "message", "role": "user", "content": "hi", "name": "n", "arguments": "x"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b", "refusal": "r"}]},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "s"}], "content": []},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "o"},
    ],
    "instructions": "i",
    "stream": True,
    "max_output_tokens": 5,
    "temperature": 0,
    "tools": [{"type": "function", **FUNCTION}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "include": ["message.output_text.logprobs"],
    "text": {"format": SCHEMA, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto", "context": "auto", "mode": "standard"},
    "top_logprobs": 2,
    "user": "u",
    "metadata": {"a": "b"},
    "store": True,
    "truncation": "auto",
}
SEARCHED = {
    "model": "m",
    "input": "a",
    "previous_response_id": "resp_1",
    "prompt": {"id": "p", "version": "1", "variables": {"a": "b"}},
    "tools": [
        {
            "type": "file_search",
            "vector_store_ids": ["vs_1"],
            "max_num_results": 3,
            "filters": {"type": "eq", "key": "a", "value": 1},
            "ranking_options": {
                "ranker": "auto",
                "score_threshold": 0.5,
                "hybrid_search": {"embedding_weight": 1, "text_weight": 1},
            },
        }
    ],
    "foreword": FOREWORD,
}
CHUNKING = {"type": "static", "static": {"max_chunk_size_tokens": 400, "chunk_overlap_tokens": 100}}
NEW_FILE = {"file_id": "f", "attributes": {"a": 1}, "chunking_strategy": CHUNKING}
NEW_STORE = {
    "name": "n",
    "description": "d",
    "file_ids": ["f"],
    "expires_after": {"anchor": "last_active_at", "days": 3},
    "chunking_strategy": CHUNKING,
    "metadata": {"a": "b"},
}
SEARCH = {
    "query": "q",
    "filters": {"type": "eq", "key": "a", "value": 1},
    "max_num_results": 3,
    "ranking_options": {"ranker": "auto", "score_threshold": 0.5},
    "rewrite_query": True,
}
FEEDBACK = {"exchange": "fw-1", "score": 0.5, "label": "l", "comment": "c", "answer": "a"}
COMPLETION = {**SAMPLING, "prompt": "a", "logprobs": 1, "best_of": 1}
EMBEDDING = {
    "input": "a",
    "model": "m",
    "user": "u",
    "encoding_format": "base64",
    "dimensions": 2,
    "foreword": FOREWORD,
}
LOCAL = {
    **SAMPLING,
    "messages": CHAT["messages"],
    "max_completion_tokens": 7,
    "logprobs": True,
    "top_logprobs": 2,
    "tools": CHAT["tools"],
    "tool_choice": "auto",
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
}
NEUTRAL = engine.Neutraliser([])


def ask_of(read: Callable[[bytes, dict[bytes, bytes]], Ask]) -> Callable[[bytes], Any]:
    # a null `foreword` is not to be sent on either, which `marked` says
    return lambda body: replace(read(body, {}), raw=b"", marked=False)


READERS: list[tuple[str, Any, Callable[[bytes], Any]]] = [
    ("chat", CHAT, ask_of(decode.chat)),
    ("completions", COMPLETION, ask_of(decode.completion)),
    ("embeddings", EMBEDDING, ask_of(decode.embedding)),
    ("responses", RESPONSE, ask_of(responses.ask)),
    ("responses with a search", SEARCHED, ask_of(responses.ask)),
    ("responses over chat", RESPONSE, lambda body: json.loads(chat_body(body))),
    ("preview", RESPONSE, ask_of(preview.ask)),
    (
        "local chat",
        LOCAL,
        lambda body: engine.ask(body, Endpoint.CHAT, engine.Limits(), NEUTRAL),
    ),
    ("local completions", COMPLETION, lambda body: engine.ask(body, Endpoint.COMPLETION, engine.Limits(), NEUTRAL)),
    ("local embeddings", EMBEDDING, lambda body: embeddings.ask(body, dimensions=3, text_of=lambda _: None)),
    ("feedback", FEEDBACK, feedback.feedback),
    ("vector stores", NEW_STORE, stores.new_store),
    ("files of a store", NEW_FILE, stores.new_file),
    ("batches", {"files": [NEW_FILE]}, stores.new_batch),
    ("batches by id", {"file_ids": ["f"], "attributes": {}, "chunking_strategy": CHUNKING}, stores.new_batch),
    ("searches", SEARCH, stores.search),
]
OF_FREE_CONTENT = ("metadata", "attributes", "parameters", "schema", "variables", "arguments", "filters")


def members(value: Any, ahead: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where an object of a request has a member, apart from objects whose members have no names of the API's."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*ahead, name)
            if name not in OF_FREE_CONTENT:
                yield from members(inner, (*ahead, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from members(inner, (*ahead, place))


def without(body: Any, path: tuple[str | int, ...], *, null: bool) -> bytes:
    changed = json.loads(json.dumps(body))
    place = changed
    for key in path[:-1]:
        place = place[key]
    if null:
        place[path[-1]] = None
    else:
        del place[path[-1]]
    return json.dumps(changed).encode()


def outcome(read: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return read(body)
    except BadRequest as error:
        return error.status, error.param


@pytest.mark.parametrize(("body", "read"), [one[1:] for one in READERS], ids=[one[0] for one in READERS])
def test_null_in_a_field_is_as_if_the_field_were_absent(body: Any, read: Callable[[bytes], Any]) -> None:
    assert not isinstance(outcome(read, json.dumps(body).encode()), tuple)
    for path in members(body):
        absent = outcome(read, without(body, path, null=False))
        assert outcome(read, without(body, path, null=True)) == absent, path


def test_null_in_a_stores_change_clears_what_the_store_has() -> None:
    assert stores.changed_store(b'{"name":null}').name is None


@pytest.mark.parametrize("calls", [b"null", b"[]"])
def test_a_message_with_no_calls_is_plain(calls: bytes) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi","tool_calls":%b,"function_call":null}]}' % calls

    assert decode.chat(body, {}).turns[0].plain


def test_an_answer_that_said_nothing_is_passed_over() -> None:
    body = {"input": [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}], "model": "m"}

    assert json.loads(chat_body(json.dumps(body).encode()))["messages"] == [{"role": "user", "content": "a"}]
