"""What becomes of answers that are not what their status says: for the client, and in the record."""

import json
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import zstandard

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[prompt]
mode = "off"
[records]
drain_s = 0.1
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
"""
STREAM = [("content-type", "text/event-stream")]
CHUNK = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}\n\n'
ERROR = b'data: {"error":{"message":"out of memory","code":500}}\n\n'
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
WHOLE = {
    "choices": [{"message": {"content": [{"type": "text", "text": "Hi"}]}, "finish_reason": "stop"}],
    "usage": USAGE,
}


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running(tmp_path_factory.mktemp("foreign"), CONFIG.format(port=upstream.port)) as process:
        yield process


def ask(gateway: GatewayProcess, path: str = "chat/completions", **fields: object) -> httpx.Response:
    said = {"input": "hi"} if path == "responses" else {"messages": [{"role": "user", "content": "hi"}]}
    return httpx.post(f"{gateway.url}/v1/{path}", json={"model": "m", **said, **fields}, timeout=20)


def record_of(gateway: GatewayProcess, answer: httpx.Response) -> dict[str, object]:
    url = f"{gateway.url}/v1/foreword/exchanges/{answer.headers['x-foreword-id']}"
    for _ in range(50):
        found = httpx.get(url)
        if found.status_code == 200:
            return dict(found.json())
        time.sleep(0.1)
    raise AssertionError(found.text)


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_error_in_a_200_is_an_error_status_and_a_failed_record(
    gateway: GatewayProcess, upstream: UpstreamInThread, path: str, stream: bool
) -> None:
    body = b'{"error": "model is overloaded"}'
    script = Script(headers=STREAM, framing="chunked", pieces=[b"data: " + body + b"\n\n"])
    upstream.double.play(script if stream else Script(pieces=[body]))

    answer = ask(gateway, path, stream=stream)
    record = record_of(gateway, answer)

    assert answer.status_code == 502
    assert "model is overloaded" in answer.json()["error"]["message"]
    assert (record["ending"], record["status"]) == ("failed", 502)
    assert "model is overloaded" in str(record["error"])


def test_an_error_after_content_reaches_the_client_once_and_the_record(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=[CHUNK, ERROR]))

    answer = ask(gateway, stream=True)
    record = record_of(gateway, answer)

    assert answer.content == CHUNK + ERROR
    assert (record["ending"], record["answer"]["text"]) == ("failed", "Hel")  # type: ignore[index]
    assert "out of memory" in str(record["error"])


def test_a_stream_under_another_type_arrives_as_it_comes(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(
        Script(headers=[("content-type", "text/plain")], framing="chunked", pieces=[CHUNK], end="stall")
    )
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}

    with httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=body, timeout=5) as answer:
        assert next(answer.iter_raw()) == CHUNK


def test_the_official_client_streams_what_came_as_json(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[json.dumps(WHOLE).encode()]))
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)

    events = list(client.responses.create(model="m", input="hi", stream=True))

    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "Hi"
    client.close()


def test_cached_and_reasoning_tokens_are_in_the_record_and_the_metrics(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(Script(pieces=[json.dumps(WHOLE).encode()]))

    answer = record_of(gateway, ask(gateway))["answer"]

    assert {name: answer[name] for name in ("text", "cached_tokens", "reasoning_tokens")} == {  # type: ignore[index]
        "text": "Hi",
        "cached_tokens": 8,
        "reasoning_tokens": 4,
    }
    assert 'foreword_tokens_total{kind="cached"}' in httpx.get(f"{gateway.url}/metrics").text


def test_the_extras_that_agents_always_ask_for_do_no_harm(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[json.dumps(WHOLE).encode()]))

    answer = ask(gateway, "responses", include=["reasoning.encrypted_content"], foreword=None, model="m", user=None)

    assert answer.status_code == 200
    assert answer.headers["x-foreword-include"].startswith("left out; ")
    assert b"foreword" not in upstream.double.received[-1].body


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_stream_that_breaks_ends_with_an_error_event(
    gateway: GatewayProcess, upstream: UpstreamInThread, encoding: str
) -> None:
    packer: Any = zlib.compressobj(wbits=31) if encoding == "gzip" else zstandard.ZstdCompressor().compressobj()
    flush = zlib.Z_SYNC_FLUSH if encoding == "gzip" else zstandard.COMPRESSOBJ_FLUSH_BLOCK
    headers = [*STREAM, ("content-encoding", encoding)]
    piece = packer.compress(CHUNK) + packer.flush(flush)
    upstream.double.play(Script(headers=headers, framing="chunked", pieces=[piece], end="cut"))

    answer = ask(gateway, stream=True)
    record = record_of(gateway, answer)

    assert "content-encoding" not in answer.headers
    assert answer.content.startswith(CHUNK)
    assert b"answer_lost" in answer.content or b"stream_cut" in answer.content
    assert record["ending"] == "failed"


def test_a_broken_stream_in_an_encoding_that_is_not_read_breaks_for_the_client(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    headers = [*STREAM, ("content-encoding", "x-foreign")]
    upstream.double.play(Script(headers=headers, framing="chunked", pieces=[b"whatever"], end="cut"))

    with pytest.raises(httpx.RemoteProtocolError):
        ask(gateway, stream=True)


def test_a_stream_is_never_asked_for_in_compressed_form(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=[CHUNK, b"data: [DONE]\n\n"]))
    ask(gateway, stream=True)
    assert "gzip" not in upstream.double.received[0].headers.get("accept-encoding", "")
