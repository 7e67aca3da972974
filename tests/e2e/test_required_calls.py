"""An answer without the call that `tool_choice` requires is an error, whole and streamed, and never a 200."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[prompt]
mode = "off"
[records]
policy = "none"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["m", "native"]
responses = ["native"]
"""
STREAM = [("content-type", "text/event-stream")]
DONE = b"data: [DONE]\n\n"
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("add", "sub")]
FLAT = [{"type": "function", **tool["function"]} for tool in TOOLS]  # type: ignore[dict-item]
NAMED = {"type": "function", "function": {"name": "add"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}
TEXT = {"role": "assistant", "content": "It is 7."}


def call(name: str) -> dict[str, Any]:
    function = {"name": name, "arguments": "{}"}
    return {"role": "assistant", "content": None, "tool_calls": [{"index": 0, "id": "c1", "function": function}]}


def whole(*messages: dict[str, Any], finish: str = "stop") -> bytes:
    choices = [{"index": at, "message": each, "finish_reason": finish} for at, each in enumerate(messages)]
    return json.dumps({"object": "chat.completion", "choices": choices}).encode()


def streamed(message: dict[str, Any], finish: str = "stop") -> list[bytes]:
    deltas = [{"index": 0, "delta": message}, {"index": 0, "delta": {}, "finish_reason": finish}]
    return [b"data: " + json.dumps({"choices": [each]}).encode() + b"\n\n" for each in deltas]


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running(tmp_path_factory.mktemp("calls"), CONFIG.format(port=upstream.port)) as process:
        yield process


def ask(gateway: GatewayProcess, **fields: object) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "3 + 4?"}], "tools": TOOLS, **fields}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, timeout=20)


@pytest.mark.parametrize("choice", ["required", NAMED, ALLOWED])
def test_a_text_instead_of_the_required_call_is_a_502(
    gateway: GatewayProcess, upstream: UpstreamInThread, choice: object
) -> None:
    upstream.double.play(Script(pieces=[whole(TEXT, finish="length")]))

    answer = ask(gateway, tool_choice=choice)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (502, "tool_call_missing")
    assert "'length'" in error["message"]
    assert len(upstream.double.received) == 1


@pytest.mark.parametrize(
    ("choice", "messages", "status"),
    [
        ("auto", [TEXT], 200),
        ("none", [TEXT], 200),
        (None, [TEXT], 200),
        ("required", [call("add")], 200),
        ("required", [call("add"), TEXT], 502),
        ("required", [], 502),
        (NAMED, [call("add")], 200),
        (NAMED, [call("sub")], 502),
        (ALLOWED, [call("add")], 200),
        (ALLOWED, [call("sub")], 502),
        ("required", [{"content": None, "function_call": {"name": "add", "arguments": "{}"}}], 200),
    ],
)
def test_only_the_required_call_satisfies(
    gateway: GatewayProcess, upstream: UpstreamInThread, choice: object, messages: list[dict[str, Any]], status: int
) -> None:
    upstream.double.play(Script(pieces=[whole(*messages)]))
    assert ask(gateway, tool_choice=choice, n=max(1, len(messages))).status_code == status


def test_the_older_function_call_requires_its_function(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[whole(TEXT)]))
    functions = [tool["function"] for tool in TOOLS]
    answer = ask(gateway, tools=None, functions=functions, function_call={"name": "add"})
    assert answer.status_code == 502


def test_a_compressed_answer_is_read_too(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    packed = [("content-type", "application/json"), ("content-encoding", "gzip")]
    upstream.double.play(Script(headers=packed, pieces=[gzip.compress(whole(TEXT))]))
    assert ask(gateway, tool_choice="required").status_code == 502


def test_a_stream_without_the_required_call_ends_with_an_error_event(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    events = streamed(TEXT)
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=[events[0], events[1] + DONE]))

    answer = ask(gateway, tool_choice="required", stream=True)

    assert answer.content.startswith(b"".join(events))
    last = answer.content.removeprefix(b"".join(events))
    assert json.loads(last.strip().removeprefix(b"data: "))["error"]["code"] == "tool_call_missing"
    assert b"[DONE]" not in answer.content


def test_a_stream_with_a_call_of_another_function_ends_with_an_error_event(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    more = {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    sent = [*streamed(call("sub"))[:1], *streamed(more, "tool_calls"), DONE]
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=sent))
    assert b"tool_call_missing" in ask(gateway, tool_choice=NAMED, stream=True).content


def test_a_stream_with_the_required_call_passes_byte_for_byte(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    sent = [*streamed(call("add"), "tool_calls"), DONE]
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=sent))
    assert ask(gateway, tool_choice=NAMED, stream=True).content == b"".join(sent)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "add"}])
def test_a_translated_response_without_the_call_is_an_error(
    gateway: GatewayProcess, upstream: UpstreamInThread, choice: Any
) -> None:
    chunks = Script(headers=STREAM, framing="chunked", pieces=[*streamed(TEXT), DONE])
    upstream.double.play(Script(pieces=[whole(TEXT)]), chunks)
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    asked: dict[str, Any] = {"model": "m", "input": "3 + 4?", "tools": FLAT, "tool_choice": choice}

    with pytest.raises(openai.InternalServerError, match="'tool_choice' requires"):
        client.responses.create(**asked)
    with pytest.raises(openai.APIError, match="'tool_choice' requires"):
        list(client.responses.create(**asked, stream=True))
    stream = httpx.post(f"{gateway.url}/v1/responses", json={**asked, "stream": True}, timeout=20).text

    assert "response.failed" in stream
    assert "response.completed" not in stream
    client.close()


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ([{"type": "message", "content": [{"type": "output_text", "text": "7"}]}], 502),
        ([{"type": "function_call", "name": "add", "call_id": "c", "arguments": "{}"}], 200),
        ([{"type": "web_search_call", "id": "w"}], 200),
    ],
)
def test_a_response_that_passes_through_is_judged_too(
    gateway: GatewayProcess, upstream: UpstreamInThread, output: list[dict[str, Any]], status: int
) -> None:
    response = {"id": "r", "object": "response", "status": "completed", "output": output}
    last = {"type": "response.completed", "response": response}
    event = b"event: response.completed\ndata: " + json.dumps(last).encode() + b"\n\n"
    upstream.double.play(
        Script(pieces=[json.dumps(response).encode()]), Script(headers=STREAM, framing="chunked", pieces=[event])
    )
    body = {"model": "native", "input": "3 + 4?", "tools": FLAT, "tool_choice": "required"}

    answer = httpx.post(f"{gateway.url}/v1/responses", json=body, timeout=20)
    stream = httpx.post(f"{gateway.url}/v1/responses", json={**body, "stream": True}, timeout=20)

    assert answer.status_code == status
    assert (event in stream.content) == (status == 200)
    assert (b"tool_call_missing" in stream.content) == (status == 502)
