"""Official clients use a tool through the gateway. The stubs of Gemini and Bedrock demand their signatures."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import boto3
import httpx
import openai
import pytest
from google import genai
from google.genai import types

from tests.doubles.demanding import AWS_SECRET, WORDS, BedrockStub, DemandingStub, GeminiStub
from tests.doubles.process import GatewayProcess, running
from tests.unit.wire.messages.test_mutated import body, mutated

CONFIG = """
[data]
folder = "data"
[records]
drain_s = 0.2
[prompt]
mode = "off"
[backends.gemini]
kind = "gemini"
base_url = "http://127.0.0.1:{gemini}/v1beta"
api_key = "google-key"
models = ["gemini-3-pro"]
[backends.bedrock]
kind = "bedrock"
base_url = "http://127.0.0.1:{bedrock}"
region = "us-east-1"
access_key_id = "AKIA1"
secret_access_key = "{secret}"
models = ["us.anthropic.claude-4:0"]
"""
ASKED: Any = {"role": "user", "content": "How warm is it in Zürich?"}
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
MODELS = ["gemini-3-pro", "us.anthropic.claude-4:0"]
each_model = pytest.mark.parametrize("model", MODELS, ids=["gemini", "bedrock"])
each_way = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class Stubs:
    """Both stubs, on an event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.all: list[DemandingStub] = [GeminiStub(), BedrockStub()]
        self.ports = [asyncio.run_coroutine_threadsafe(stub.start(), self.loop).result(30) for stub in self.all]

    def stop(self) -> None:
        for stub in self.all:
            asyncio.run_coroutine_threadsafe(stub.stop(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @property
    def faults(self) -> list[str]:
        return [fault for stub in self.all for fault in stub.faults]


@pytest.fixture(scope="module")
def stubs() -> Iterator[Stubs]:
    made = Stubs()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def gateway(stubs: Stubs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    gemini, bedrock = stubs.ports
    config = CONFIG.format(gemini=gemini, bedrock=bedrock, secret=AWS_SECRET)
    with running(tmp_path_factory.mktemp("providers"), config) as process:
        yield process


@pytest.fixture(autouse=True)
def no_faults_of_other_tests(stubs: Stubs) -> None:
    for stub in stubs.all:
        stub.faults.clear()


def test_googles_own_client_uses_the_tool_of_the_stub(stubs: Stubs) -> None:
    address = types.HttpOptions(base_url=f"http://127.0.0.1:{stubs.ports[0]}", api_version="v1beta")
    client = genai.Client(api_key="google-key", http_options=address, vertexai=False)
    tool: Any = types.Tool(function_declarations=[{"name": "weather", "parameters_json_schema": SCHEMA}])  # type: ignore[list-item]
    off = types.AutomaticFunctionCallingConfig(disable=True)
    config = types.GenerateContentConfig(tools=[tool], automatic_function_calling=off)
    chat = client.chats.create(model="gemini-3-pro", config=config)

    first = chat.send_message("How warm is it in Zürich?")
    (call,) = first.function_calls or []
    answer = types.FunctionResponse(name=call.name, id=call.id, response={"output": "18"})
    second = chat.send_message(types.Part(function_response=answer))

    assert second.text == WORDS and stubs.faults == []


def test_awss_own_client_uses_the_tool_of_the_stub(stubs: Stubs) -> None:
    client: Any = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{stubs.ports[1]}",
        aws_access_key_id="AKIA1",
        aws_secret_access_key=AWS_SECRET,
    )
    tools = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": SCHEMA}}}]}
    asked = {"role": "user", "content": [{"text": "How warm is it in Zürich?"}]}
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 2000}}

    def sent(messages: list[Any]) -> Any:
        fields = {"modelId": MODELS[1], "messages": messages, "toolConfig": tools}
        return client.converse(**fields, additionalModelRequestFields=thinking)

    first = sent([asked])
    assert first["stopReason"] == "tool_use"
    result = {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "18"}]}}
    second = sent([asked, first["output"]["message"], {"role": "user", "content": [result]}])

    assert second["output"]["message"]["content"][-1] == {"text": WORDS} and stubs.faults == []


@each_model
@each_way
def test_a_chat_client_uses_a_tool(gateway: GatewayProcess, stubs: Stubs, model: str, stream: bool) -> None:
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0)
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]

    def asked(messages: list[Any]) -> Any:
        fields: Any = {"model": model, "messages": messages, "tools": tools, "reasoning_effort": "low"}
        if not stream:
            return client.chat.completions.create(**fields).choices[0]
        with client.chat.completions.stream(**fields, stream_options={"include_usage": True}) as events:
            for _ in events:
                pass
            completion = events.get_final_completion()
        assert completion.usage is not None and completion.usage.total_tokens == 18
        return completion.choices[0]

    first = asked([ASKED])
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Zürich"}
    # only what every client keeps of an assistant's message: no fields of the provider's own
    kept = {"role": "assistant", "content": None, "tool_calls": [_plain(call)]}
    second = asked([ASKED, kept, {"role": "tool", "tool_call_id": call.id, "content": "18"}])

    assert (second.finish_reason, second.message.content) == ("stop", WORDS)
    assert stubs.faults == []


def _plain(call: Any) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": "function", "function": function}


@each_model
@each_way
def test_a_messages_client_uses_a_tool_with_thinking(
    gateway: GatewayProcess, stubs: Stubs, model: str, stream: bool
) -> None:
    client = anthropic.Anthropic(base_url=gateway.url, api_key="none", max_retries=0)
    tools: Any = [{"name": "weather", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}]

    def asked(messages: list[Any]) -> Any:
        fields: Any = {"model": model, "max_tokens": 4000, "messages": messages, "tools": tools}
        fields["thinking"] = {"type": "enabled", "budget_tokens": 2000}
        if not stream:
            return client.messages.create(**fields)
        with client.messages.stream(**fields) as events:
            return events.get_final_message()

    first = asked([ASKED])
    thinking, call = first.content
    assert first.stop_reason == "tool_use"
    assert thinking.thinking == "I should look." and call.input == {"city": "Zürich"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "18"}
    second = asked([ASKED, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}])

    assert (second.stop_reason, second.content[-1].text) == ("end_turn", WORDS)
    assert second.usage.input_tokens == 9 and second.usage.output_tokens == 9
    assert stubs.faults == []


@each_model
@each_way
def test_a_responses_client_uses_a_tool(gateway: GatewayProcess, stubs: Stubs, model: str, stream: bool) -> None:
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0)
    tools: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]

    def asked(given: Any, previous: str | None) -> Any:
        fields: Any = {"model": model, "input": given, "tools": tools}
        if previous is not None:
            fields["previous_response_id"] = previous
        if not stream:
            return client.responses.create(**fields)
        with client.responses.stream(**fields) as events:
            return events.get_final_response()

    first = asked([ASKED], None)
    (call,) = [item for item in first.output if item.type == "function_call"]
    second = asked([{"type": "function_call_output", "call_id": call.call_id, "output": "18"}], first.id)

    assert second.output_text == WORDS
    assert stubs.faults == []


@each_model
def test_a_refusal_has_the_form_of_the_clients_api(gateway: GatewayProcess, stubs: Stubs, model: str) -> None:
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0)
    other = anthropic.Anthropic(base_url=gateway.url, api_key="none", max_retries=0)
    wrong: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    talk: Any = [
        ASKED,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "x", "content": "18"},
    ]

    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=model, messages=talk, tools=wrong)
    with pytest.raises(anthropic.BadRequestError):
        other.messages.create(
            model=model,
            max_tokens=9,
            tools=[{"name": "f", "input_schema": {"type": "object"}}],
            messages=[
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "18"}]},
            ],
        )
    assert len(stubs.faults) == 2


def test_the_exchanges_are_recorded_without_the_providers_keys(gateway: GatewayProcess) -> None:
    tools = [{"type": "function", "function": {"name": "weather"}}]
    asked = {"model": MODELS[0], "messages": [ASKED], "tools": tools}
    answer = httpx.post(gateway.url + "/v1/chat/completions", json=asked, timeout=20)
    exchange = answer.headers["x-foreword-id"]
    record = httpx.get(f"{gateway.url}/v1/foreword/exchanges/{exchange}", timeout=20)

    assert record.status_code == 200 and record.json()["backend"] == "gemini"
    assert "google-key" not in record.text and AWS_SECRET not in record.text
    log = gateway.log.read_text("utf-8", "replace")
    assert "google-key" not in log and AWS_SECRET not in log


@pytest.mark.parametrize("case", ["bedrock-chat", "bedrock-messages"])
@each_model
def test_a_wrong_field_is_never_a_failure_of_the_gateway(gateway: GatewayProcess, model: str, case: str) -> None:
    path = "messages" if case == "bedrock-messages" else "chat/completions"
    wrong = [{**fields, "model": model} for fields in mutated(body(case)) if isinstance(fields, dict)]
    with httpx.Client(base_url=gateway.url, timeout=20) as client:
        for fields in wrong[:: max(1, len(wrong) // 80)]:
            answer = client.post(f"/v1/{path}", json=fields)
            assert answer.status_code in (200, 400, 502), answer.text
            assert "message" in answer.text or answer.text.startswith(("data:", "event:"))
    assert "the gateway itself failed" not in gateway.log.read_text("utf-8", "replace")


@each_model
def test_a_body_nested_as_deep_as_can_be_read_is_no_failure_of_the_gateway(gateway: GatewayProcess, model: str) -> None:
    # how deep that is depends on the stack: the decoding for a provider begins further down it than the first one
    tools = b'[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]'
    text = b'{"model":"%s","messages":[{"role":"user","content":"a"}],"stop":["x"],"tools":%s,"x":%s}'
    with httpx.Client(base_url=gateway.url, timeout=20) as client:
        for depth in range(600, 1000, 8):
            deep = b'{"a":' * depth + b"{}" + b"}" * depth
            answer = client.post("/v1/chat/completions", content=text % (model.encode(), tools, deep))
            assert answer.status_code in (200, 400), answer.text
            assert answer.status_code == 200 or "recursion" in answer.text
    assert "the gateway itself failed" not in gateway.log.read_text("utf-8", "replace")
