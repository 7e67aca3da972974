"""`/v1/messages` through a gateway as a process, by the official client of Anthropic's API.

The backends are a scripted model, a stub of an OpenAI-compatible server, and a stub of Anthropic's API.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[records]
drain_s = 0.2
[prompt]
mode = "off"
[keys.app]
sha256 = "{digest}"
models = ["claude-*", "chat-*", "fake", "gpt-4o-mini"]
[routing]
aliases = {{ "gpt-4o-mini" = "fake", "claude-alias" = "fake" }}
[backends.fake]
kind = "scripted"
name = "fake"
answers = {{ "capital" = "Paris is the capital." }}
[backends.claude]
kind = "anthropic"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-ant-secret"
models = ["claude-*"]
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-openai-secret"
models = ["chat-*"]
"""
KEY = "fw-key-of-the-app"
ASKED: Any = [{"role": "user", "content": "What is the capital of France?"}]
TOOL: Any = {"name": "weather", "description": "The weather", "input_schema": {"type": "object"}}
MESSAGE = (
    b'{"id":"msg_up","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Paris"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"cache_read_input_tokens":90,'
    b'"cache_creation_input_tokens":3,"output_tokens":2}, "unknown": 12345678901234567890}'
)
STREAM = [
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_up","type":"message","role":"assistant",'
    b'"model":"claude-x","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,'
    b'"cache_read_input_tokens":90,"output_tokens":1}}}\n\n',
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text",'
    b'"text":""}}\n\nevent: ping\ndata: {"type": "ping"}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    b'"text":"Par"}}\n\nevent: content_block_del',
    b'ta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"is"}}\n\n',
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
    b'"usage":{"output_tokens":2}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]
SSE = [("content-type", "text/event-stream")]


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    with running(tmp_path_factory.mktemp("messages"), CONFIG.format(port=upstream.port, digest=digest)) as process:
        yield process


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as made:
        yield made


def streamed(*pieces: bytes, end: str = "whole") -> Script:
    return Script(headers=SSE, pieces=list(pieces), framing="chunked", end=end)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "choices": [choice], **more}).encode() + b"\n\n"


def test_a_model_behind_chat_answers_whole_and_streamed(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(model="fake", max_tokens=20, messages=ASKED)
    with client.messages.stream(model="fake", max_tokens=20, messages=ASKED) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert whole.content[0].type == "text" and whole.content[0].text == text == "Paris is the capital."
    assert whole.id.startswith("msg_fw_") and whole.stop_reason == final.stop_reason == "end_turn"
    assert whole.usage.input_tokens == final.usage.input_tokens == 6
    assert whole.usage.output_tokens == final.usage.output_tokens == 4


def test_an_answer_that_is_too_long_says_so(client: anthropic.Anthropic) -> None:
    assert client.messages.create(model="fake", max_tokens=2, messages=ASKED).stop_reason == "max_tokens"


def test_bytes_pass_to_an_anthropic_backend_and_back(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[MESSAGE], headers=[("content-type", "application/json"), ("request-id", "r1")]))
    body = (
        b'{ "max_tokens":9, "model" : "claude-x","messages":[{"content":"a","role":"user"}],"top_k": 1e2, "new": [ ] }'
    )
    headers = {"x-api-key": KEY, "anthropic-version": "2099-01-01", "anthropic-beta": "b1,b2"}

    answer = httpx.post(gateway.url + "/v1/messages", content=body, headers=headers)

    received = upstream.double.received[0]
    assert (received.body, answer.content) == (body, MESSAGE)
    assert received.line.split()[1] == "/v1/messages"
    assert received.headers["x-api-key"] == "sk-ant-secret" and "authorization" not in received.headers
    assert received.headers["anthropic-version"] == "2099-01-01" and received.headers["anthropic-beta"] == "b1,b2"
    assert answer.headers["request-id"] == "r1"


def test_a_stream_passes_byte_for_byte(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(streamed(*STREAM))
    body = {"model": "claude-x", "max_tokens": 9, "stream": True, "messages": ASKED}

    answer = httpx.post(gateway.url + "/v1/messages", json=body, headers={"x-api-key": KEY})

    assert answer.content == b"".join(STREAM)
    assert upstream.double.received[0].headers["anthropic-version"] == "2023-06-01"


def test_usage_text_and_finish_are_recorded(
    client: anthropic.Anthropic, gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(streamed(*STREAM))
    with client.messages.stream(model="claude-x", max_tokens=9, messages=ASKED) as stream:
        assert stream.get_final_text() == "Paris"
        exchange = stream.response.headers["x-foreword-id"]

    record = httpx.get(f"{gateway.url}/v1/foreword/exchanges/{exchange}", headers={"x-api-key": KEY}).json()

    assert record["answer"]["text"] == "Paris" and record["answer"]["finish"] == "stop", record
    assert (record["answer"]["prompt_tokens"], record["answer"]["cached_tokens"]) == (97, 90)
    assert record["answer"]["completion_tokens"] == 2


def test_a_stream_that_breaks_ends_in_one_error_event(
    client: anthropic.Anthropic, gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    body = {"model": "claude-x", "max_tokens": 9, "stream": True, "messages": ASKED}
    upstream.double.play(streamed(*STREAM[:4], end="cut"))
    answer = httpx.post(gateway.url + "/v1/messages", json=body, headers={"x-api-key": KEY}).content
    assert answer.startswith(b"".join(STREAM[:4]))
    assert answer.count(b"event: error\n") == 1 and b"message_stop" not in answer

    upstream.double.play(streamed(*STREAM[:4], end="cut"))
    with (
        pytest.raises(anthropic.APIStatusError, match="broke off"),
        client.messages.stream(model="claude-x", max_tokens=9, messages=ASKED) as stream,
    ):
        stream.until_done()

    told = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    upstream.double.play(streamed(*STREAM[:3], STREAM[3], told))
    answer = httpx.post(gateway.url + "/v1/messages", json=body, headers={"x-api-key": KEY}).content
    assert answer == b"".join(STREAM[:4]) + told


def test_an_error_before_any_content_is_a_status(client: anthropic.Anthropic, upstream: UpstreamInThread) -> None:
    told = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    upstream.double.play(streamed(STREAM[0], told))

    with pytest.raises(anthropic.APIStatusError) as refusal:
        client.messages.create(model="claude-x", max_tokens=9, messages=ASKED, stream=True)

    assert refusal.value.status_code == 529
    assert refusal.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index,call-overload]


def test_errors_have_the_form_of_the_clients_api(client: anthropic.Anthropic, upstream: UpstreamInThread) -> None:
    def refused(**fields: Any) -> Any:
        with pytest.raises(anthropic.APIStatusError) as refusal:
            client.messages.create(**{"model": "fake", "max_tokens": 9, "messages": ASKED} | fields)
        return refusal.value

    unknown = refused(model="chat")
    assert isinstance(unknown, anthropic.PermissionDeniedError)
    assert unknown.body["type"] == "error" and unknown.body["error"]["type"] == "permission_error"
    assert unknown.body["request_id"].startswith("fw-")
    assert isinstance(refused(messages=[]), anthropic.BadRequestError)
    assert "messages" in refused(messages=[]).message
    upstream.double.play(Script(429, pieces=[b'{"error":{"message":"Slow down","type":"tokens","code":"x"}}']))
    limited = refused(model="chat-1")
    assert isinstance(limited, anthropic.RateLimitError) and limited.body["error"]["message"] == "Slow down"
    assert limited.body["error"]["type"] == "rate_limit_error"
    with (
        anthropic.Anthropic(base_url=client.base_url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        stranger.messages.create(model="fake", max_tokens=9, messages=ASKED)


def test_a_conversation_with_tools_and_pictures_is_told_to_a_chat_backend(
    client: anthropic.Anthropic, upstream: UpstreamInThread
) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":'}}
    upstream.double.play(
        streamed(
            chunk({"role": "assistant", "content": None}),
            chunk({"reasoning_content": "Let me see."}),
            chunk({"tool_calls": [call]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]}, "tool_calls"),
            b'data: {"choices":[],"usage":{"prompt_tokens":50,"completion_tokens":9,'
            b'"prompt_tokens_details":{"cached_tokens":40},"completion_tokens_details":{"reasoning_tokens":5}}}\n\n',
            b"data: [DONE]\n\n",
        )
    )
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    turns: Any = [
        {"role": "user", "content": [{"type": "text", "text": "Weather here?"}, picture]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "X"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "unknown city"}]},
    ]
    with client.messages.stream(
        model="chat-1",
        max_tokens=2000,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=turns,
        tools=[TOOL],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 1024},
        stop_sequences=["END"],
    ) as stream:
        final = stream.get_final_message()
        headers = stream.response.headers

    thought, use = final.content
    assert thought.type == "thinking" and thought.thinking == "Let me see."
    assert use.type == "tool_use" and (use.id, use.name, use.input) == ("call_1", "weather", {"city": "Oslo"})
    assert final.stop_reason == "tool_use"
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (10, 40, 9)
    assert headers["x-foreword-translate"] == (
        "left out; cache_control, thinking.budget_tokens (the model decides itself)"
    )
    received = upstream.double.received[0]
    assert received.headers["authorization"] == "Bearer sk-openai-secret"
    assert not {"x-api-key", "anthropic-version"} & set(received.headers)
    assert json.loads(received.body) == {
        "model": "chat-1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Weather here?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "t1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"X"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "unknown city"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "The weather",
                    "parameters": {"type": "object"},
                },
            }
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": ["END"],
        "max_tokens": 2000,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_tokens_are_counted_by_the_backend_or_here(
    client: anthropic.Anthropic, gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(Script(pieces=[b'{"input_tokens":4711}']))
    assert client.messages.count_tokens(model="claude-x", messages=ASKED).input_tokens == 4711
    assert upstream.double.received[0].line.split()[1] == "/v1/messages/count_tokens"

    counted = client.messages.with_raw_response.count_tokens(model="fake", messages=ASKED)
    few = counted.parse().input_tokens
    exchange = f"{gateway.url}/v1/foreword/exchanges/{counted.headers['x-foreword-id']}"
    assert httpx.get(exchange, headers={"x-api-key": KEY}).status_code == 404, "no model answered"
    more = client.messages.count_tokens(model="fake", messages=ASKED, system="Be brief.", tools=[TOOL]).input_tokens

    assert 6 <= few < more


def test_an_openai_client_reaches_anthropics_models(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    function: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        upstream.double.play(streamed(*STREAM))
        options: Any = {"include_usage": True}
        chunks = list(
            client.chat.completions.create(model="claude-x", messages=ASKED, stream=True, stream_options=options)
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Paris"
        assert chunks[-1].usage is not None and chunks[-1].usage.prompt_tokens == 97

        called = MESSAGE.replace(
            b'{"type":"text","text":"Paris"}', b'{"type":"tool_use","id":"t1","name":"weather","input":{"city":"Oslo"}}'
        ).replace(b"end_turn", b"tool_use")
        upstream.double.play(Script(pieces=[called]))
        answer = client.chat.completions.create(
            model="claude-x", max_tokens=5, messages=ASKED, tools=[function], tool_choice="required"
        )
        (call,) = answer.choices[0].message.tool_calls or ()
        assert (call.id, call.type) == ("t1", "function") and '"Oslo"' in call.function.arguments  # type: ignore[union-attr]

        upstream.double.play(Script(pieces=[MESSAGE]))
        assert client.responses.create(model="claude-x", input="Capital?").output_text == "Paris"


def test_an_applications_own_model_name_works(client: anthropic.Anthropic, gateway: GatewayProcess) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as other:
        answer = other.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=ASKED)
        assert answer.parse().choices[0].message.content == "Paris is the capital."
        assert answer.headers["x-foreword-route"] == "alias; fake"
        assert {"fake", "gpt-4o-mini"} <= {model.id for model in other.models.list()}

    assert client.messages.create(model="claude-alias", max_tokens=9, messages=ASKED).stop_reason == "end_turn"


def test_models_are_listed_in_anthropics_form(client: anthropic.Anthropic, upstream: UpstreamInThread) -> None:
    theirs = (
        b'{"data":[{"type":"model","id":"claude-9","display_name":"Claude 9","created_at":"2026-02-04T00:00:00Z"}]}'
    )
    upstream.double.play(Script(pieces=[theirs]))

    listed = {model.id: model for model in client.models.list()}

    assert {"fake", "gpt-4o-mini", "claude-9"} <= set(listed)
    assert listed["claude-9"].display_name == "Claude 9" and listed["claude-9"].created_at.year == 2026
    assert client.models.retrieve("fake").id == "fake"


def test_a_model_of_nobody_and_another_method_are_refused_in_anthropics_form(gateway: GatewayProcess) -> None:
    answer = httpx.get(gateway.url + "/v1/messages", headers={"x-api-key": KEY})

    assert answer.status_code == 405 and answer.json()["error"]["type"] == "invalid_request_error"
