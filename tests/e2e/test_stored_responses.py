"""Responses that the gateway keeps, by the official client: read again, carried on from, deleted."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
responses = ["native-*"]
[routing]
default = "gpt-4o"
[keys.mine]
secret = "sk-mine"
[keys.other]
secret = "sk-other"
[keys.quiet]
secret = "sk-quiet"
record = "hashed"
[keys.root]
secret = "sk-root"
admin = true
"""
CHAT = (
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Oslo."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}'
)
STREAM = [
    b'data: {"choices":[{"index":0,"delta":{"content":"Oslo."}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
]
QUESTION = "What is the capital of Norway?"
FOLLOW = "And of Sweden?"


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path_factory.mktemp("stored"), CONFIG.format(port=upstream.port))
    try:
        process.wait("/health/live")
        yield process
    finally:
        process.stop()


def client_of(gateway: GatewayProcess, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=f"sk-{key}", max_retries=0)


@pytest.fixture
def client(gateway: GatewayProcess, upstream: UpstreamInThread) -> Iterator[openai.OpenAI]:
    upstream.double.play(Script(pieces=[CHAT]))
    with client_of(gateway, "mine") as made:
        yield made


def sent(upstream: UpstreamInThread) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = json.loads(upstream.double.received[-1].body)["messages"]
    return messages


def test_a_response_and_its_input_can_be_read_again(client: openai.OpenAI) -> None:
    given = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    made = client.responses.create(model="gpt-4o", instructions="In English.", input=given)  # type: ignore[arg-type]

    again = client.responses.retrieve(made.id)
    items = client.responses.input_items.list(made.id, order="asc")

    assert again == made
    assert again.output_text == "Oslo."
    assert [(item.role, item.content[0].text) for item in items] == [  # type: ignore[union-attr, index]
        ("developer", "Be brief."),
        ("user", QUESTION),
    ]


def test_a_page_of_the_input_ends_where_the_next_begins(client: openai.OpenAI) -> None:
    made = client.responses.create(
        model="gpt-4o", input=[{"role": "user", "content": str(number)} for number in range(5)]
    )

    items = client.responses.input_items.list(made.id, limit=2)

    assert items.has_next_page()
    assert [item.content[0].text for item in items] == ["4", "3", "2", "1", "0"]  # type: ignore[union-attr, index]


def test_a_streamed_response_is_kept_like_a_whole_one(client: openai.OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=STREAM, headers=[("content-type", "text/event-stream")]))
    with client.responses.stream(model="gpt-4o", input=QUESTION) as stream:
        stream.until_done()
        final = stream.get_final_response()

    assert client.responses.retrieve(final.id).output_text == "Oslo."


def test_what_was_said_earlier_goes_ahead_of_what_carries_on(client: openai.OpenAI, upstream: UpstreamInThread) -> None:
    first = client.responses.create(model="gpt-4o", instructions="Be brief.", input=QUESTION)
    second = client.responses.create(model="gpt-4o", input=FOLLOW, previous_response_id=first.id)
    third = client.responses.create(model="gpt-4o", input="Both?", previous_response_id=second.id)

    earlier = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "Oslo."},
        {"role": "user", "content": FOLLOW},
        {"role": "assistant", "content": "Oslo."},
        {"role": "user", "content": "Both?"},
    ]
    # the instructions were the first request's alone
    assert sent(upstream) == earlier
    assert (second.previous_response_id, third.previous_response_id) == (first.id, second.id)


def test_a_deleted_response_is_gone_and_its_figures_stay(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    answer = client.responses.with_raw_response.create(model="gpt-4o", input=QUESTION)
    id = answer.parse().id
    client.responses.delete(id)

    with pytest.raises(openai.NotFoundError, match="deleted"):
        client.responses.retrieve(id)
    with pytest.raises(openai.BadRequestError, match="deleted") as refused:
        client.responses.create(model="gpt-4o", input=FOLLOW, previous_response_id=id)
    assert (refused.value.param, refused.value.code) == ("previous_response_id", "previous_response_not_found")
    headers = {"authorization": "Bearer sk-mine"}
    url = f"{gateway.url}/v1/foreword/exchanges/{answer.headers['x-foreword-id']}"
    record = httpx.get(url, headers=headers)
    assert record.json()["answer"]["prompt_tokens"] == 5
    assert QUESTION not in record.text
    assert "Oslo" not in record.text


def test_a_key_sees_only_its_own_responses(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    made = client.responses.create(model="gpt-4o", input=QUESTION)
    with client_of(gateway, "other") as other:
        with pytest.raises(openai.NotFoundError):
            other.responses.retrieve(made.id)
        with pytest.raises(openai.NotFoundError):
            other.responses.delete(made.id)
        with pytest.raises(openai.BadRequestError, match="records"):
            other.responses.create(model="gpt-4o", input=FOLLOW, previous_response_id=made.id)

    assert client.responses.retrieve(made.id) == made


def test_what_is_not_to_be_stored_is_not_there(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    unstored = client.responses.create(model="gpt-4o", input=QUESTION, store=False)
    with pytest.raises(openai.NotFoundError, match="'store': false"):
        client.responses.retrieve(unstored.id)
    with client_of(gateway, "quiet") as quiet:
        hashed = quiet.responses.create(model="gpt-4o", input=QUESTION)
        with pytest.raises(openai.NotFoundError, match="hashed"):
            quiet.responses.retrieve(hashed.id)


def test_a_response_that_is_over_cannot_be_cancelled(client: openai.OpenAI) -> None:
    made = client.responses.create(model="gpt-4o", input=QUESTION)
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(made.id)


def test_a_backends_own_response_is_asked_for_there_by_admins(
    client: openai.OpenAI, gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    with pytest.raises(openai.PermissionDeniedError):
        client.responses.retrieve("resp_abc")
    upstream.double.play(Script(pieces=[b'{"id":"resp_abc","object":"response","output":[]}']))
    with client_of(gateway, "root") as root:
        found = root.responses.retrieve("resp_abc", include=["reasoning.encrypted_content"])

    assert found.id == "resp_abc"
    asked = "/v1/responses/resp_abc?include%5B%5D=reasoning.encrypted_content"
    assert upstream.double.received[-1].line == f"GET {asked} HTTP/1.1"
