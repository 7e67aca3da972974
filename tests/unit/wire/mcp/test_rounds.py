"""Answers of several rounds: whatever a backend writes, it becomes an answer or a refusal, and nothing else."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import RequestError
from gateway.mcp_offer import McpOffer, McpResult, McpTool, OfferedMcpTool
from gateway.wire.mcp.chat_rounds import ChatRounds
from gateway.wire.mcp.message_rounds import MessageRounds
from gateway.wire.mcp.rounds import AnswerRounds
from gateway.wire.mcp.servers import servers_of
from gateway.wire.mcp.tools import mcp_of
from tests.unit.wire.messages.test_mutated import NO_VALUES, mutated

OFFER = McpOffer((OfferedMcpTool("web__add", "web", "web", McpTool("add", "Add.", {"type": "object"})),))
USER = {"role": "user", "content": "2 + 3?"}
CHAT = {"model": "m", "messages": [USER], "tools": [{"type": "mcp", "server_label": "web"}], "tool_choice": "auto"}
CHAT_CALL = {"id": "c1", "type": "function", "function": {"name": "web__add", "arguments": "{}"}}
CHAT_ANSWER = {
    "id": "x",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "tool_calls": [CHAT_CALL]}, "finish_reason": "tool_calls"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 2}},
}
CHAT_EVENTS: list[Any] = [
    {"id": "x", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hm."}}]},
    {"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **CHAT_CALL}]}}]},
    {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 1}},
]
EARLIER = [
    {"type": "mcp_tool_use", "id": "mcpt0", "name": "add", "server_name": "web", "input": {}},
    {"type": "mcp_tool_result", "tool_use_id": "mcpt0", "is_error": False, "content": []},
]
MESSAGES = {
    "model": "m",
    "max_tokens": 9,
    "messages": [USER, {"role": "assistant", "content": EARLIER}, USER],
    "mcp_servers": [{"type": "url", "name": "web", "tool_configuration": {"allowed_tools": ["add"]}}],
    "tools": [{"type": "mcp_toolset", "mcp_server_name": "web", "configs": {"add": {"enabled": True}}}],
}
USE = {"type": "tool_use", "id": "t1", "name": "web__add", "input": {"a": 1}}
MESSAGE_ANSWER = {"id": "m1", "content": [{"type": "text", "text": "Hm."}, USE], "stop_reason": "tool_use", "usage": {}}
MESSAGE_EVENTS: list[Any] = [
    {"type": "message_start", "message": {"id": "m1", "content": [], "usage": {"input_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hm."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {**USE, "input": {}}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a": 1}'}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]
APIS: dict[str, Any] = {
    "chat": (ChatRounds, CHAT, CHAT_ANSWER, CHAT_EVENTS),
    "messages": (MessageRounds, MESSAGES, MESSAGE_ANSWER, MESSAGE_EVENTS),
}
each_api = pytest.mark.parametrize("api", APIS)


def written(value: Any) -> bytes:
    raw = json.dumps(value).encode()
    for name, wrong in NO_VALUES.items():
        raw = raw.replace(json.dumps(name).encode(), wrong)
    return raw


def framed(events: list[Any]) -> Iterator[bytes]:
    for event in events:
        yield b"data: " + written(event) + b"\n\n"


def play(rounds: AnswerRounds, body: bytes, answer: bytes | None, events: list[Any]) -> None:
    """Two rounds: the first one calls a tool, if the answer can be read as a call."""
    raw = rounds.first(body, may_call=True)
    if answer is not None:
        rounds.whole(answer)
    else:
        for piece in framed(events):
            rounds.feed(piece)
        rounds.end_stream()
    results = [McpResult("5") for _ in rounds.calls]
    rounds.told(results)
    assert rounds.body() if answer is not None else rounds.end()
    if results:
        assert rounds.next(raw, results, may_call=False)


@each_api
def test_two_rounds_make_one_answer(api: str) -> None:
    kind, request, answer, events = APIS[api]
    for whole in (written(answer), None):
        play(kind(OFFER), written(request), whole, events)


@each_api
def test_no_answer_breaks_the_rounds(api: str) -> None:
    kind, request, answer, _ = APIS[api]
    for wrong in mutated(answer):
        play(kind(OFFER), written(request), written(wrong), [])


@each_api
def test_no_event_breaks_the_rounds(api: str) -> None:
    kind, request, _, events = APIS[api]
    for wrong in mutated(events):
        with contextlib.suppress(RequestError):  # a stream without its end
            play(kind(OFFER), written(request), None, wrong if isinstance(wrong, list) else [wrong])


@pytest.mark.parametrize("field", ["mcp_servers", "tools"])
def test_no_request_breaks_the_reading_of_servers(field: str) -> None:
    from msgspec import Raw

    for wrong in mutated({field: MESSAGES[field]}):
        given: Any = {name: Raw(written(value)) for name, value in ({**MESSAGES, **wrong}).items()}
        servers_of(given["mcp_servers"], given["tools"])
    for wrong in mutated({"tools": CHAT["tools"]}):
        if "tools" in wrong:
            mcp_of(Raw(written(wrong["tools"])))


def test_no_history_breaks_the_first_round() -> None:
    for wrong in mutated({"messages": MESSAGES["messages"][1:2]}):
        if isinstance(wrong.get("messages"), list):
            assert MessageRounds(OFFER).first(written({**MESSAGES, **wrong}), may_call=True)
