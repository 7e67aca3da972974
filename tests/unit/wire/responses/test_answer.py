"""Chat completions as responses: whole, streamed, cut at any byte, and broken off."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.errors import BackendFailed
from gateway.ports import Answer, ToolCall
from gateway.wire.chat.answer import read_answer
from gateway.wire.responses import request as responses
from gateway.wire.responses.answer import Translator, exchange_id, head_of, response_id, whole
from gateway.wire.responses.read import STORED
from tests.doubles.chat_stream import chunk, events
from tests.doubles.pieces import cut_everywhere, whole_events

HEAD = head_of("fw-1", responses.ask(b'{"model":"m","input":"a","temperature":0.5}', {}), "m", 7)
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
CALLS = [
    {"index": 0, "id": "c0", "function": {"name": "f", "arguments": '{"a"'}},
    {"index": 1, "id": "c1", "function": {"name": "g", "arguments": ""}},
    {"index": 0, "function": {"arguments": ":1}"}},
    {"index": 1, "function": {"arguments": "{}"}},
]


LAST = b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode() + b"\n\ndata: [DONE]\n\n"
STREAM = (
    b": hello\r\n\r\n"
    + chunk(role="assistant", content="")
    + chunk(reasoning_content="Hm, ")
    + chunk(reasoning_content="yes.")
    + chunk(content="Gr\u00fc\u00df")
    + chunk(content=" dich")
    + b"".join(chunk(tool_calls=[call]) for call in CALLS)
    + chunk("tool_calls")
    + LAST
)
MESSAGE = {
    "role": "assistant",
    "reasoning_content": "Hm, yes.",
    "content": "Gr\u00fc\u00df dich",
    "tool_calls": [
        {"id": "c0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ],
}
WHOLE = json.dumps(
    {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}], "usage": USAGE}
).encode()


def translated(*pieces: bytes) -> list[dict[str, Any]]:
    translator = Translator(HEAD)
    return events(b"".join(translator.feed(piece) for piece in pieces) + translator.end())


def test_a_whole_completion_is_a_response_with_an_item_for_each_thing_said() -> None:
    response = json.loads(whole(WHOLE, HEAD))

    assert response["output"] == [
        {
            "id": "rs_fw_1_0",
            "type": "reasoning",
            "status": "completed",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm, yes."}],
        },
        {
            "id": "msg_fw_1_1",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Gr\u00fc\u00df dich", "annotations": [], "logprobs": []}],
        },
        *[
            {"id": f"fc_fw_1_{place}", "type": "function_call", "status": "completed", "call_id": id, "name": name}
            | {"arguments": arguments}
            for place, id, name, arguments in ((2, "c0", "f", '{"a":1}'), (3, "c1", "g", "{}"))
        ],
    ]
    assert response["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 8,
    }
    said = {name: response[name] for name in ("id", "object", "created_at", "status", "model", "temperature", "top_p")}
    assert said == {
        "id": "resp_fw_1",
        "object": "response",
        "created_at": 7,
        "status": "completed",
        "model": "m",
        "temperature": 0.5,
        "top_p": 1.0,
    }


def test_the_last_event_of_a_stream_holds_what_a_whole_answer_would_be() -> None:
    assert translated(STREAM)[-1]["response"] == json.loads(whole(WHOLE, HEAD))


def test_the_events_of_a_text_come_in_openais_order() -> None:
    told = translated(
        chunk(role="assistant", content="") + chunk(content="a") + chunk(content="b") + chunk("stop") + LAST
    )

    assert [event["type"].removeprefix("response.") for event in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert told[0]["response"]["status"] == "in_progress"
    assert told[0]["response"]["output"] == []
    assert (told[6]["text"], told[8]["item"]["content"][0]["text"]) == ("ab", "ab")


def test_a_stream_may_be_cut_at_any_byte() -> None:
    for pieces in list(cut_everywhere(STREAM))[::3]:
        assert translated(*whole_events(*pieces)) == translated(STREAM)


@given(st.integers(0, len(STREAM) - len(b"data: [DONE]\n\n") - 1))
def test_a_stream_that_is_cut_short_never_completes_unless_it_had_said_why_it_ends(length: int) -> None:
    translator = Translator(HEAD)
    told = events(b"".join(map(translator.feed, whole_events(STREAM[:length]))) + translator.end())

    said_why = STREAM.index(b'"finish_reason": "tool_calls"')
    assert (told[-1]["type"] == "response.completed") == (translator.failure is None)
    assert translator.failure is None or length < STREAM.index(b"\n", said_why)
    if length <= said_why:
        assert told[-1]["type"] == "response.failed"
        assert told[-1]["response"]["status"] == "failed"
        assert isinstance(translator.failure, BackendFailed)


def test_what_can_be_told_is_told_at_once() -> None:
    translator = Translator(HEAD)
    pieces = [chunk(content=letter) for letter in "abc"]

    assert [
        b'"delta":"%c"' % letter in translator.feed(piece) for letter, piece in zip(b"abc", pieces, strict=True)
    ] == [True] * 3


def test_what_came_before_it_broke_stays_in_the_failed_response() -> None:
    translator = Translator(HEAD)
    told = events(
        translator.feed(chunk(reasoning_content="Hm") + chunk(content="Hel"))
        + translator.feed(b'data: {"error":{"message":"out of memory"}}\n\n' + chunk(content="lo"))
    )

    last = told[-1]["response"]
    assert (last["status"], last["error"]) == (
        "failed",
        {"code": "server_error", "message": "The backend failed: out of memory"},
    )
    assert [(item["type"], item["status"], item["content"][0]["text"]) for item in last["output"]] == [
        ("reasoning", "completed", "Hm"),
        ("message", "incomplete", "Hel"),
    ]
    assert translator.failure is not None


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_without_its_end_is_incomplete(finish: str, reason: str) -> None:
    told = translated(chunk(content="Hel") + chunk(finish) + LAST)

    assert told[-1]["type"] == "response.incomplete"
    assert told[-1]["response"]["incomplete_details"] == {"reason": reason}
    assert told[-1]["response"]["output"][0]["status"] == "incomplete"


def test_an_empty_answer_is_an_empty_text_and_a_refusal_a_part_of_its_own() -> None:
    empty = translated(chunk("stop") + LAST)[-1]["response"]["output"]
    refused = translated(chunk(refusal="I will not.") + chunk("stop") + LAST)[-1]["response"]["output"]

    assert empty[0]["content"] == [{"type": "output_text", "text": "", "annotations": [], "logprobs": []}]
    assert refused[0]["content"] == [{"type": "refusal", "refusal": "I will not."}]


def test_log_probabilities_are_told_with_their_text() -> None:
    entry = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    choice = {"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": [entry]}, "finish_reason": "stop"}
    told = translated(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n" + LAST)

    assert told[4]["logprobs"] == [entry]
    assert told[-1]["response"]["output"][0]["content"][0]["logprobs"] == [entry]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"choices":[]}', b'{"choices":[{"text":"a"}]}', b"\xff"])
def test_a_body_that_is_no_chat_completion_is_the_backends_fault(body: bytes) -> None:
    with pytest.raises(BackendFailed):
        whole(body, HEAD)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_translator(noise: bytes) -> None:
    translator = Translator(HEAD)
    told = events(translator.feed(noise) + translator.end())
    assert told[-1]["type"] in ("response.failed", "response.completed")


def test_records_read_a_response_as_they_read_a_chat() -> None:
    body = whole(WHOLE, HEAD)
    said = Answer(
        "Gr\u00fc\u00df dich",
        "tool_calls",
        5,
        3,
        {STORED: body.decode()},
        2,
        1,
        (ToolCall("f", '{"a":1}'), ToolCall("g", "{}")),
    )
    translator = Translator(HEAD)
    stream = translator.feed(STREAM)
    cut = stream[: stream.index(b"event: response.output_text.done")]

    assert read_answer(body, "application/json") == said
    streamed = read_answer(stream, "text/event-stream")
    assert replace(streamed, extra=said.extra) == said
    assert json.loads(streamed.extra[STORED])["output"][0]["type"] == "reasoning"
    assert read_answer(cut, "text/event-stream") == Answer("Gr\u00fc\u00df dich")
    short = translated(chunk(content="Hel") + chunk("length") + LAST)[-1]["response"]
    assert read_answer(json.dumps(short).encode(), "application/json").finish == "length"


def test_what_is_not_to_be_stored_or_not_ours_is_read_and_not_kept() -> None:
    for head in ({**HEAD, "store": False}, {**HEAD, "id": "resp_abc"}):
        assert read_answer(whole(WHOLE, head), "application/json").extra == {}


def test_an_id_leads_back_to_its_exchange() -> None:
    assert exchange_id(response_id("fw-0123456789ab")) == "fw-0123456789ab"
    assert exchange_id("resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b") == ""
