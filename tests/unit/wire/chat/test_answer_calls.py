"""Tool calls in a finished reply: of each API, as a whole body and as a stream."""

import json

import pytest

from gateway.ports import ToolCall
from gateway.records.policy import hashed_record
from gateway.records.schema import ExchangeRecord
from gateway.wire.chat.answer import read_answer

WEATHER, TIME = '{"city": "Rome"}', "{}"
CALLS = (ToolCall("weather", WEATHER), ToolCall("time", TIME))


def stream(*events: object) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def chat_call(index: int, name: str | None, arguments: str) -> dict[str, object]:
    return {"index": index, "id": f"c{index}", "function": {"name": name, "arguments": arguments}}


def chat_chunk(*calls: dict[str, object]) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"tool_calls": list(calls)}}]}


def block(index: int, name: str) -> dict[str, object]:
    body = {"type": "tool_use", "id": "t", "name": name, "input": {}}
    return {"type": "content_block_start", "index": index, "content_block": body}


def delta(index: int, text: str) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": text}}


BODIES = {
    "chat": {
        "choices": [{"message": {"tool_calls": [chat_call(0, "weather", WEATHER), chat_call(1, "time", TIME)]}}],
    },
    "messages": {
        "type": "message",
        "content": [
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "name": "weather", "input": {"city": "Rome"}},
            {"type": "tool_use", "name": "time", "input": {}},
        ],
    },
    "responses": {
        "object": "response",
        "status": "completed",
        "output": [
            {"type": "function_call", "name": "weather", "arguments": WEATHER},
            {"type": "function_call", "name": "time", "arguments": TIME},
        ],
    },
}
STREAMS = {
    "chat": stream(
        chat_chunk(chat_call(0, "weather", "")),
        chat_chunk(chat_call(0, None, WEATHER[:6])),
        chat_chunk(chat_call(1, "time", TIME)),
        chat_chunk(chat_call(0, None, WEATHER[6:])),
    ),
    "messages": stream(
        {"type": "message_start", "message": {"type": "message", "usage": {}}},
        block(1, "weather"),
        delta(1, WEATHER[:4]),
        delta(1, WEATHER[4:]),
        block(2, "time"),
        delta(2, TIME),
    ),
}


@pytest.mark.parametrize("api", BODIES)
def test_a_body_tells_its_tool_calls(api: str) -> None:
    assert read_answer(json.dumps(BODIES[api]).encode(), "application/json").calls == CALLS


@pytest.mark.parametrize("api", STREAMS)
def test_the_pieces_of_a_stream_are_joined(api: str) -> None:
    assert read_answer(STREAMS[api], "text/event-stream").calls == CALLS


@pytest.mark.parametrize("calls", [None, 3, [None], [{}], [{"function": None}], [{"function": {"name": None}}]])
def test_broken_calls_are_passed_over(calls: object) -> None:
    body = {"choices": [{"message": {"content": "Hi", "tool_calls": calls}}]}
    answer = read_answer(json.dumps(body).encode(), "application/json")
    assert answer.text == "Hi"
    assert all(call.name == "" for call in answer.calls)


def test_a_hashed_record_keeps_no_arguments() -> None:
    answer = read_answer(json.dumps(BODIES["chat"]).encode(), "application/json")
    hashed = hashed_record(ExchangeRecord("x", answer=answer)).answer.calls
    assert [call.name for call in hashed] == ["weather", "time"]
    assert all(call.arguments.startswith("sha256:") for call in hashed)
