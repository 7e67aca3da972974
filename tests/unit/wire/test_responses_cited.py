"""A response that was answered from files: the search ahead of the answer, and what the answer cites."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BackendFailed
from gateway.file_search import FileSource
from gateway.wire.responses import request as responses
from gateway.wire.responses.answer import Translator, head_of, whole
from gateway.wire.responses.search import ShownSearch
from tests.doubles.chat_stream import chunk, events

HEAD = head_of("fw-1", responses.ask(b'{"model":"m","input":"a"}', {}), "m", 7)
FOUND = ShownSearch(
    ("Why?",), None, (FileSource("file-a", "a.md"), FileSource("file-b", "b.md"), FileSource("file-a", "a.md"))
)
CITING = ["Because [1", "]. And\n", "`x[2]` or [2", ", 3] but", " not [4], nor [0", "]."]


def citing(*pieces: str) -> list[dict[str, Any]]:
    translator = Translator(HEAD, FOUND)
    told = b"".join(translator.feed(chunk(content=piece)) for piece in pieces)
    return events(told + translator.feed(chunk("stop") + b"data: [DONE]\n\n") + translator.end())


def test_numbers_in_the_answer_are_annotated_with_the_files_they_stand_for() -> None:
    text = "".join(CITING)
    told = citing(*CITING)

    search, message = told[-1]["response"]["output"]
    assert search == {
        "id": "fs_fw_1_0",
        "type": "file_search_call",
        "status": "completed",
        "queries": ["Why?"],
        "results": None,
    }
    (part,) = message["content"]
    first, second = text.index("[1]") + 3, text.index("3]") + 2
    assert part["text"] == text
    assert part["annotations"] == [
        {"type": "file_citation", "file_id": "file-a", "filename": "a.md", "index": first},
        {"type": "file_citation", "file_id": "file-b", "filename": "b.md", "index": second},
        {"type": "file_citation", "file_id": "file-a", "filename": "a.md", "index": second},
    ]
    added = [event for event in told if event["type"] == "response.output_text.annotation.added"]
    assert [(event["annotation"], event["annotation_index"]) for event in added] == [
        (annotation, place) for place, annotation in enumerate(part["annotations"])
    ]
    assert {(event["item_id"], event["output_index"], event["content_index"]) for event in added} == {
        (message["id"], 1, 0)
    }


@given(st.lists(st.integers(0, len("".join(CITING))), max_size=8))
def test_however_the_answer_comes_it_is_annotated_alike(cuts: list[int]) -> None:
    text = "".join(CITING)
    ends = [0, *sorted(cuts), len(text)]
    message = {"role": "assistant", "content": text}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()

    streamed = citing(*[text[start:end] for start, end in pairwise(ends)])[-1]["response"]["output"]

    assert streamed == json.loads(whole(body, HEAD, FOUND))["output"]


def test_a_search_without_an_answer_has_an_empty_text_behind_it() -> None:
    told = citing()

    assert [item["type"] for item in told[-1]["response"]["output"]] == ["file_search_call", "message"]
    assert [event["type"] for event in told[2:7]] == [
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
    ]
    assert told[2]["item"] == {**told[6]["item"], "status": "in_progress", "queries": []}


def test_an_answer_that_breaks_off_keeps_its_search_and_what_it_cited() -> None:
    translator = Translator(HEAD, FOUND)
    told = translator.feed(chunk(content="Because [1].")) + translator.fail(BackendFailed("gone"))

    search, message = events(told)[-1]["response"]["output"]
    assert (search["status"], message["status"]) == ("completed", "incomplete")
    assert [one["file_id"] for one in message["content"][0]["annotations"]] == ["file-a"]
