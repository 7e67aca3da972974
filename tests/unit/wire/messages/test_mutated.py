"""Requests and answers with one field changed to a wrong value: they are translated or refused, and nothing else."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from gateway.errors import RequestError
from gateway.wire.chat import decode, next_draw
from gateway.wire.chat.chunks import CompletionHead
from gateway.wire.chat.request import read_request
from gateway.wire.converse.of_chat import converse_body
from gateway.wire.gemini.of_chat import generate_body
from gateway.wire.messages import answer, as_completion, as_stream, read, request
from gateway.wire.messages.as_chat import chat_body
from gateway.wire.messages.extensions import plain_body
from gateway.wire.messages.losses import Losses
from gateway.wire.messages.of_chat import messages_body
from gateway.wire.messages.token_count import countable
from gateway.wire.responses import as_chat
from gateway.wire.responses import request as responses
from tests.golden.test_golden import CASES
from tests.golden.test_message_streams import CHAT, MESSAGE, to_completion, to_message, translated

NO_VALUES = {"<not UTF-8>": b'"\xff"', "<infinite>": b"1e999", "<long>": b"1" * 40}
"""What JSON writers never write, and readers of undecoded fields meet late. The names stand for it in `mutated`."""
WRONG: tuple[Any, ...] = (None, True, -1, 1e300, "", "x", "{", [], [None], [[]], {}, {"type": 7}, {"a": None})
WRONG += tuple(NO_VALUES)
GOLDEN = {file.stem: yaml.safe_load(file.read_text("utf-8")) for file in CASES}


def body(name: str) -> Any:
    if name in OWN:
        return OWN[name]
    return json.loads(GOLDEN[name]["request"]["body"])


def reply(name: str) -> Any:
    if name == "signed":
        return SIGNED
    return json.loads("".join(GOLDEN[name]["upstream"][0]["pieces"]))


def mutated(value: Any) -> Iterator[Any]:
    """Copies of a JSON value, each with one part replaced or removed."""
    for path in paths(value):
        for wrong in WRONG:
            copied = copy.deepcopy(value)
            inner = copied
            for step in path[:-1]:
                inner = inner[step]
            inner[path[-1]] = wrong
            yield copied


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*before, step)
        yield from paths(inner, (*before, step))


def encoded(value: Any) -> bytes:
    written = json.dumps(value).encode()
    for name, wrong in NO_VALUES.items():
        written = written.replace(json.dumps(name).encode(), wrong)
    return written


SIGNED: Any = {
    "choices": [
        {
            "message": {
                "content": "a",
                "reasoning_content": "Hm",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "Hm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "AA=="},
                ],
                "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            "finish_reason": "tool_calls",
        }
    ]
}
RICH: Any = {
    "model": "m",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {
            **SIGNED["choices"][0]["message"],
            "role": "assistant",
            "thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "gemini:s"}],
        },
        {"role": "tool", "tool_call_id": "t", "content": [{"type": "text", "text": "b"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"title": "x"}}},
    "thinking": {"type": "enabled", "budget_tokens": 5},
    "metadata": {"a": "b"},
    "seed": 5,
}
RESPONSES: Any = {
    "model": "m",
    "instructions": "b",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]},
    ],
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object"}},
        {"type": "mcp", "server_label": "a", "headers": {"a": "b"}},
        {"type": "file_search", "vector_store_ids": ["a"]},
    ],
    "tool_choice": "auto",
    "text": {"format": {"type": "json_schema", "name": "a", "schema": {"title": "x"}}},
    "include": ["file_search_call.results"],
    "metadata": {"a": "b"},
    "prompt": {"id": "x", "variables": {"a": "b"}},
}
OWN = {"rich": RICH, "responses": RESPONSES, "prompt": {"model": "m", "prompt": "a", "stop": ["b"], "seed": 5}}
HEAD = CompletionHead("c", "m", 7)
REQUESTS: dict[str, tuple[str, Callable[[bytes], Any]]] = {
    "messages decoded": ("messages-translated", lambda raw: request.ask(raw, {})),
    "messages to chat": ("messages-translated", lambda raw: chat_body(raw, Losses())),
    "messages to extended chat": (
        "bedrock-messages",
        lambda raw: plain_body(chat_body(raw, Losses(), extended=True).body, Losses()),
    ),
    "messages to gemini": (
        "bedrock-messages",
        lambda raw: generate_body(chat_body(raw, Losses(), extended=True), "gemini-3-pro", Losses()),
    ),
    "messages to bedrock": (
        "bedrock-messages",
        lambda raw: converse_body(chat_body(raw, Losses(), extended=True), "us.anthropic.x", Losses()),
    ),
    "messages counted": ("messages-translated", countable),
    "chat to messages": ("chat-over-messages", lambda raw: messages_body(raw, 9, Losses())),
    "rich chat to messages": ("rich", lambda raw: messages_body(raw, 9, Losses())),
    "rich chat to gemini": ("rich", lambda raw: generate_body(read_request(raw), "gemini-3-pro", Losses())),
    "rich chat to bedrock": ("rich", lambda raw: converse_body(read_request(raw), "us.anthropic.x", Losses())),
    "rich chat once more": ("rich", lambda raw: next_draw.whole(raw, 1)),
    "chat decoded": ("rich", lambda raw: decode.chat(raw, {})),
    "completion decoded": ("prompt", lambda raw: decode.completion(raw, {})),
    "tokens counted": ("bedrock-messages", lambda raw: request.token_count(raw, {})),
    "bedrock's messages decoded": ("bedrock-messages", lambda raw: request.ask(raw, {})),
    "responses decoded": ("responses", lambda raw: responses.ask(raw, {})),
    "responses to chat": ("responses", lambda raw: as_chat.chat_body(raw, searched=True, offer=None)),
}
REPLIES: dict[str, tuple[str, Callable[[bytes], Any]]] = {
    "chat to a message": ("messages-translated", lambda raw: answer.whole(raw, answer.MessageHead("i", "m", True))),
    "signed chat to a message": (
        "signed",
        lambda raw: answer.whole(raw, answer.MessageHead("i", "m", True)),
    ),
    "message to chat": ("chat-over-messages", lambda raw: as_completion.whole(raw, HEAD, Losses())),
    "message to a stream": ("chat-over-messages", as_stream.events),
    "message read": ("chat-over-messages", read.read_body),
}


@pytest.mark.parametrize(("case", "read"), REQUESTS.values(), ids=REQUESTS)
def test_a_wrong_field_of_a_request_is_refused_or_passed_on(case: str, read: Callable[[bytes], Any]) -> None:
    for wrong in mutated(body(case)):
        try:
            read(encoded(wrong))
        except RequestError as error:
            assert error.status == 400 and error.message


@pytest.mark.parametrize(("case", "read"), REPLIES.values(), ids=REPLIES)
def test_a_wrong_field_of_an_answer_is_a_failure_of_the_backend_or_read(
    case: str, read: Callable[[bytes], Any]
) -> None:
    for wrong in mutated(reply(case)):
        try:
            read(encoded(wrong))
        except RequestError as error:
            assert error.status >= 400 and error.message


@pytest.mark.parametrize(("stream", "to"), [(CHAT, to_message), (MESSAGE, to_completion)], ids=["chat", "message"])
def test_a_wrong_field_of_an_event_does_not_break_its_stream(stream: bytes, to: Callable[[], Any]) -> None:
    events = stream.split(b"\n\n")
    for place, event in enumerate(events):
        head, mark, data = event.partition(b"data: ")
        if not data.startswith(b"{"):
            continue
        for wrong in mutated(json.loads(data)):
            changed = [*events[:place], head + mark + encoded(wrong), *events[place + 1 :]]
            translated(to(), [b"\n\n".join(changed)])
            read.read_events([event.partition(b"data: ")[2] for event in changed])
