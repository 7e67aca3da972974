"""Whose vector stores the tool `file_search` searches, when, and what it refuses; by the stock `openai` client."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from tests.conftest import UpstreamInThread
from tests.doubles.handbook import (
    CONFIG,
    LEAVE,
    PAY,
    QUESTION,
    WEATHER,
    Filled,
    client_of,
    filled,
    ready,
    said,
    sent,
    tool,
)
from tests.doubles.process import GatewayProcess
from tests.doubles.upstream import Script

MORE = """
[keys.bob]
secret = "bob-key"
[keys.strict]
secret = "strict-key"
mode = "off"
[models.shadowed]
backend = "up"
mode = "shadow"
"""


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path_factory.mktemp("whose_stores"), CONFIG.format(port=upstream.port) + MORE)
    try:
        yield ready(process)
    finally:
        process.stop()


@pytest.fixture(scope="module")
def alice(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with client_of(gateway, "alice") as client:
        yield client


@pytest.fixture(scope="module")
def bob(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with client_of(gateway, "bob") as client:
        yield client


@pytest.fixture(scope="module")
def store(alice: OpenAI) -> Filled:
    return filled(alice, leave=LEAVE)


def test_a_store_of_another_key_does_not_exist(bob: OpenAI, store: Filled, upstream: UpstreamInThread) -> None:
    upstream.double.play(said("No."))
    own, _ = filled(bob, pay=PAY)

    messages = []
    for ids in ([store[0]], ["vs_nonesuch"], [own, store[0]]):
        with pytest.raises(openai.NotFoundError, match="No vector store found with id") as refused:
            bob.responses.create(model="gpt-4o", input=QUESTION, tools=tool(*ids))
        assert refused.value.param == "tools[0].vector_store_ids"
        messages.append(refused.value.message.replace(ids[-1], "it"))
    assert len(set(messages)) == 1
    assert upstream.double.received == []


def test_a_backend_that_searches_itself_is_asked_for_its_own_stores_and_not_for_ours(
    alice: OpenAI, bob: OpenAI, store: Filled, upstream: UpstreamInThread
) -> None:
    theirs = b'{"id":"resp_1","object":"response","output":[], "tools":[]}'
    upstream.double.play(Script(pieces=[theirs]))
    # what the backend would refuse is the backend's to refuse
    passed = bob.responses.with_raw_response.create(
        model="native-1", input=QUESTION, tools=tool("vs_theirs", max_num_results=99)
    )

    assert passed.content == theirs
    assert upstream.double.received[-1].line == "POST /v1/responses HTTP/1.1"
    assert sent(upstream)["tools"] == tool("vs_theirs", max_num_results=99)
    bob.responses.create(model="native-1", input=QUESTION, tools=tool(store[0]))
    assert sent(upstream)["tools"] == tool(store[0])
    assert "<<<sources" not in upstream.double.received[-1].body.decode()

    upstream.double.play(said("Fifteen [1]."))
    own = alice.responses.create(model="native-1", input=QUESTION, tools=tool(store[0]))
    assert upstream.double.received[-1].line == "POST /v1/chat/completions HTTP/1.1"
    assert [item.type for item in own.output] == ["file_search_call", "message"]
    with pytest.raises(openai.NotFoundError, match="vs_theirs"):
        alice.responses.create(model="native-1", input=QUESTION, tools=tool(store[0], "vs_theirs"))


@pytest.mark.parametrize(("model", "key"), [("shadowed", "alice"), ("gpt-4o", "strict")])
def test_it_is_the_clients_wish_so_it_is_done_in_every_mode(
    gateway: GatewayProcess, upstream: UpstreamInThread, model: str, key: str
) -> None:
    upstream.double.play(said("Fifteen [1]."))
    with client_of(gateway, key) as client:
        id, files = filled(client, leave=LEAVE)
        response = client.responses.create(model=model, input=QUESTION, tools=tool(id))

    assert "<<<sources" in sent(upstream)["messages"][0]["content"]
    assert response.output[1].content[0].annotations[0].file_id == files["leave"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"max_num_results": 0}, "max_num_results"),
        ({"max_num_results": 51}, "max_num_results"),
        ({"ranking_options": {"score_threshold": 1.1}}, "ranking_options.score_threshold"),
        ({"ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
        ({"filters": {"type": "like", "key": "about", "value": "pay"}}, "filters.type"),
        ({"filters": {"type": "and", "filters": [{"type": "eq", "key": "a"}]}}, "filters.filters[0].value"),
        ({"max_results": 3}, "max_results"),
        ({"vector_store_ids": []}, "vector_store_ids"),
        ({"vector_store_ids": "vs_1"}, "vector_store_ids"),
    ],
)
def test_what_is_wrong_with_the_tool_is_told_by_its_place(
    alice: OpenAI, store: Filled, upstream: UpstreamInThread, wrong: dict[str, Any], param: str
) -> None:
    upstream.double.play(said("No."))
    given = {"type": "file_search", "vector_store_ids": [store[0]], **wrong}

    with pytest.raises(openai.BadRequestError) as refused:
        alice.responses.create(model="gpt-4o", input=QUESTION, tools=[WEATHER, given])  # type: ignore[list-item]

    assert (refused.value.param, refused.value.type) == (f"tools[1].{param}", "invalid_request_error")
    assert f"tools[1].{param}" in refused.value.message
    assert upstream.double.received == []


def test_the_preview_searches_and_asks_no_model(
    gateway: GatewayProcess, store: Filled, upstream: UpstreamInThread
) -> None:
    upstream.double.play(said("No."))
    asked = {"model": "native-1", "input": QUESTION, "tools": tool(store[0])}

    shown = httpx.post(
        gateway.url + "/v1/foreword/preview", json=asked, headers={"authorization": "Bearer alice-key"}, timeout=60
    ).json()

    assert "<<<sources" in shown["body"]["messages"][0]["content"]
    assert [note["decision"] for note in shown["notes"] if note["stage"] == "search"] == ["retrieved"]
    assert upstream.double.received == []


def test_two_sets_of_numbers_are_refused(alice: OpenAI, store: Filled) -> None:
    with pytest.raises(openai.BadRequestError, match="not of both"):
        alice.responses.create(
            model="gpt-4o",
            input=QUESTION,
            tools=tool(store[0]),
            extra_body={"foreword": {"collections": ["handbook"]}},
        )
    with pytest.raises(openai.BadRequestError, match="in one tool"):
        alice.responses.create(model="gpt-4o", input=QUESTION, tools=tool(store[0]) * 2)
