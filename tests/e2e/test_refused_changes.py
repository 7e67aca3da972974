"""A backend that refuses a changed request gets the client's own, once; real sockets, the official client."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[prompt]
templates = ["templates"]
[backends.open]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["o*"]
sampling = ["temperature", "max_tokens"]
[backends.strict]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["s*"]
[backends.native]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["native"]
responses = ["native"]
sampling = ["temperature"]
[keys.reader]
secret = "reader-secret"
admin = true
"""
TEMPLATE = """---
schema: 1
id: sky.en
version: 1
status: active
language: en
family: sky
description: Explains
intent:
  name: sky
  match: [why is a, why is b, why is c, why is d, why is e, why is f, why is g, why is h]
  not: [what is a, what is b]
technique: direct
output: {temperature: 0.3, max_tokens: 50, stop: [END]}
tests:
  - query: why is it
    expect: [{contains: why is it}]
provenance: {origin: author, licence: CC0-1.0}
---
# user
{{ query }}

Explain it for a newcomer.
"""
OWN = "why is the sky blue?"
STREAM = [b'data: {"choices":[{"index":0,"delta":{"content":"Light."},"finish_reason":null}]}\n\n', b"data: [DONE]\n\n"]
WHOLE = {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Light."}}]}


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("refused")
    (folder / "templates" / "sky").mkdir(parents=True)
    (folder / "templates" / "sky" / "en.prompt.md").write_text(TEMPLATE, "utf-8")
    with running(folder, CONFIG.format(port=upstream.port)) as process:
        yield process


def answers(stream: bool = False) -> Script:
    if stream:
        return Script(headers=[("content-type", "text/event-stream")], pieces=STREAM, framing="chunked")
    return Script(pieces=[json.dumps(WHOLE).encode()])


def post(gateway: GatewayProcess, path: str, **fields: Any) -> httpx.Response:
    body = {"foreword": {"template": "sky.en"}, **fields}
    headers = {"authorization": "Bearer reader-secret"}
    return httpx.post(f"{gateway.url}/v1/{path}", json=body, headers=headers, timeout=20)


def chat(gateway: GatewayProcess, model: str, **more: Any) -> httpx.Response:
    return post(gateway, "chat/completions", model=model, messages=[{"role": "user", "content": OWN}], **more)


def sent(upstream: UpstreamInThread) -> list[Any]:
    return [json.loads(received.body) for received in upstream.double.received]


def test_a_backend_gets_only_the_decoder_settings_that_its_entry_names(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(answers())

    done = [chat(gateway, "o1"), chat(gateway, "s1"), chat(gateway, "s1", temperature=0.9)]

    assert [(answer.status_code, answer.text) for answer in done if answer.status_code != 200] == []
    named, none, clients = sent(upstream)
    assert (named["temperature"], named["max_tokens"], "stop" in named) == (0.3, 50, False)
    assert set(none) == {"model", "messages"}
    assert "newcomer" in none["messages"][0]["content"]
    assert set(clients) == {"model", "messages", "temperature"}


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_change_is_sent_once_more_as_the_client_wrote_it(
    gateway: GatewayProcess, upstream: UpstreamInThread, stream: bool, status: int
) -> None:
    upstream.double.play(answers(stream), refuses=("temperature",), status=status)

    answer = chat(gateway, "o1", stream=stream)

    changed, own = sent(upstream)
    assert answer.status_code == 200
    assert "Light." in answer.text
    assert changed["temperature"] == 0.3
    assert own == {"model": "o1", "messages": [{"role": "user", "content": OWN}], "stream": stream}
    assert answer.headers["x-foreword-resend"].startswith(
        "the client's own request; the changed request was refused with"
    )
    assert "unsupported_parameter temperature" in answer.headers["x-foreword-resend"]
    assert "x-foreword-template" not in answer.headers
    assert answer.headers["x-foreword-rewrite"].startswith("refused; sky.en@1")


@pytest.mark.parametrize("model", ["o1", "native"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_change_of_a_request_for_a_response_is_sent_once_more_too(
    gateway: GatewayProcess, upstream: UpstreamInThread, stream: bool, model: str
) -> None:
    upstream.double.play(answers(stream), refuses=("temperature",))
    if model == "native" and stream:
        event = b'event: response.completed\ndata: {"type":"response.completed","response":{"text":"Light."}}\n\n'
        upstream.double.scripts[0].pieces = [event]

    answer = post(gateway, "responses", model=model, input=OWN, stream=stream, max_output_tokens=70)

    changed, own = sent(upstream)
    assert answer.status_code == 200, answer.text
    assert "Light." in answer.text
    assert changed["temperature"] == 0.3
    assert "temperature" not in own
    assert "newcomer" in json.dumps(changed)
    assert "newcomer" not in json.dumps(own)
    assert 70 in own.values()


def test_a_request_that_is_refused_as_the_client_wrote_it_is_not_sent_a_third_time(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(answers(), refuses=("messages",))

    answer = chat(gateway, "o1")

    assert (answer.status_code, len(sent(upstream))) == (400, 2)


def test_an_unchanged_request_that_is_refused_is_sent_once(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(answers(), refuses=("messages",))

    answer = chat(gateway, "o1", foreword={"mode": "off"})

    assert (answer.status_code, len(sent(upstream))) == (400, 1)
    assert "x-foreword-resend" not in answer.headers


def test_the_record_has_the_refused_prompt_and_the_one_that_was_answered(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(answers(), refuses=("temperature",))
    id = chat(gateway, "o1").headers["x-foreword-id"]

    record = _record(gateway, id)

    assert [turn["text"] for turn in record["asked"]] == [OWN]
    assert "newcomer" in record["rewrite"]["withheld"][0]["text"]
    assert (record["prompt"], record["changed"], record["status"]) == (None, False, 200)
    assert [(call["purpose"], call["error"]) for call in record["calls"]] == [("refused", "refused with 400")]
    assert record["notes"][-1]["stage"] == "resend"


def _record(gateway: GatewayProcess, id: str) -> Any:
    url = f"{gateway.url}/v1/foreword/exchanges/{id}"
    return httpx.get(url, headers={"authorization": "Bearer reader-secret"}, timeout=20).json()
