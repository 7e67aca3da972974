"""The tool `file_search` in a request's JSON: read, left to others where it is not as it should be, and done."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from gateway.ask import Endpoint
from gateway.errors import BadRequest
from gateway.exchange import Chunk
from gateway.file_search import FileSearch, FileSearchResult, FileSource
from gateway.filters import AttributeComparison
from gateway.wire.responses import request as responses
from gateway.wire.responses.as_chat import chat_body
from gateway.wire.responses.search import choice_after, shown
from tests.doubles.asking import asked

ASKED = {"type": "file_search", "vector_store_ids": ["vs_1"]}
WEATHER = {"type": "function", "name": "weather", "parameters": {}}


def read(**fields: Any) -> FileSearch | None:
    return responses.ask(json.dumps({"model": "m", "input": "Why?", **fields}).encode(), {}).search


def test_every_field_of_the_tool_is_read() -> None:
    ranking = {
        "ranker": "none",
        "score_threshold": 0.25,
        "hybrid_search": {"embedding_weight": 1, "text_weight": 3},
    }
    full = {
        "type": "file_search",
        "vector_store_ids": ["vs_1", "vs_2", "vs_1"],
        "max_num_results": 7,
        "filters": {"type": "gte", "key": "year", "value": 2025},
        "ranking_options": ranking,
    }

    assert read(tools=[WEATHER, full], include=["file_search_call.results"]) == FileSearch(
        stores=("vs_1", "vs_2"),
        limit=7,
        threshold=0.25,
        filters=AttributeComparison("year", "gte", 2025),
        weight=0.25,
        rerank=False,
        shown=True,
        query="Why?",
        place=1,
    )


@pytest.mark.parametrize(
    "tools", [None, [], [WEATHER], [{"type": "web_search"}], {"type": "file_search"}, "file_search"]
)
def test_a_request_without_the_tool_has_none(tools: Any) -> None:
    assert read(tools=tools) is None


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        (None, True),
        ("auto", True),
        ("required", True),
        ("none", False),
        ({"type": "file_search"}, True),
        ({"type": "function", "name": "weather"}, False),
        ({"type": "allowed_tools", "mode": "auto", "tools": [WEATHER, {"type": "file_search"}]}, True),
        ({"type": "allowed_tools", "mode": "auto", "tools": [WEATHER]}, False),
    ],
)
def test_the_choice_of_tools_says_whether_it_is_used(choice: Any, called: bool) -> None:
    search = read(tools=[WEATHER, ASKED], tool_choice=choice)

    assert search is not None
    assert search.called is called


def test_the_query_is_the_text_of_the_last_message_of_the_user() -> None:
    parts = [{"type": "input_text", "text": "What is"}, {"type": "input_image", "image_url": "x"}]
    last = {"role": "user", "content": [*parts, {"type": "input_text", "text": "this?"}]}
    output = {"type": "function_call_output", "call_id": "c", "output": "rain"}

    search = read(tools=[ASKED], input=[{"role": "user", "content": "Hello"}, last, output])

    assert search is not None
    assert search.query == "What is\nthis?"


def test_what_is_wrong_is_kept_for_whoever_searches() -> None:
    search = read(tools=[{**ASKED, "max_num_results": 51}])

    assert search is not None
    assert (search.stores, search.faulty, search.code) == (("vs_1",), "tools[0].max_num_results", "invalid_value")
    assert search.fault.startswith("Invalid value for 'tools[0].max_num_results'")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("vector_store_ids", "filters", "max_num_results", "ranking_options")


@given(
    st.lists(st.fixed_dictionaries({"type": st.just("file_search")}, optional=dict.fromkeys(FIELDS, ANY)) | ANY),
    ANY,
    ANY,
)
def test_whatever_stands_in_the_tools_reading_it_raises_nothing(tools: list[Any], choice: Any, include: Any) -> None:
    search = read(tools=tools, tool_choice=choice, include=include)

    there = [one for one in tools if isinstance(one, dict) and one.get("type") == "file_search"]
    assert (search is not None) == bool(there)


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("required", None),
        ({"type": "file_search"}, None),
        ({"type": "function", "name": "f"}, {"type": "function", "name": "f"}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [ASKED, WEATHER]},
            {"type": "allowed_tools", "mode": "auto", "tools": [WEATHER]},
        ),
        ({"type": "allowed_tools", "mode": "required", "tools": [ASKED]}, "none"),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [WEATHER]},
            {"type": "allowed_tools", "mode": "required", "tools": [WEATHER]},
        ),
    ],
)
def test_a_choice_that_the_search_has_met_is_open_again(choice: Any, left: Any) -> None:
    found = choice_after(None if choice is None else Raw(json.dumps(choice).encode()))

    assert (None if found is None else json.loads(bytes(found))) == left


def test_other_hosted_tools_beside_it_are_refused_by_their_own_place() -> None:
    body = json.dumps({"input": "a", "tools": [ASKED, {"type": "web_search"}]}).encode()

    with pytest.raises(BadRequest) as refused:
        chat_body(body, searched=True)

    assert refused.value.param == "tools[1].type"
    with pytest.raises(BadRequest) as refused:
        chat_body(body)
    assert refused.value.param == "tools[0].type"


def test_results_are_shown_best_first_and_only_where_they_are_asked_for() -> None:
    chunks = (Chunk("a-0", "vs_1", "a.md", "Text A", score=0.4), Chunk("b-0", "vs_1", "b.md", "Text B", score=1.2))
    sources = (FileSource("file-a", "a.md"), FileSource("file-b", "b.md", {"year": 2026}))
    exchange = asked(Endpoint.RESPONSES, input="Why?", tools=[ASKED], include=["file_search_call.results"])
    exchange = replace(exchange, chunks=chunks, searched=FileSearchResult(("Why?",), sources))
    unasked = replace(exchange, ask=replace(exchange.ask, search=FileSearch()))

    found = shown(exchange)

    assert found is not None
    assert found.sources == sources
    assert found.results == [
        {"file_id": "file-b", "filename": "b.md", "score": 1.0, "attributes": {"year": 2026}, "text": "Text B"},
        {"file_id": "file-a", "filename": "a.md", "score": 0.4, "attributes": {}, "text": "Text A"},
    ]
    assert shown(unasked) == replace(found, results=None)
    assert shown(replace(exchange, searched=FileSearchResult())) is None
    # what a later stage took out again, since it did not fit, was not used
    assert shown(replace(exchange, chunks=())) == replace(found, results=[], sources=())
