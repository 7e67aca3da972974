"""Reads text, stop reason and usage of a `/v1/messages` answer for the records, and converts them to chat's terms."""

import json
from collections.abc import Iterable
from typing import Any

from gateway.ports import Answer, ToolCall
from gateway.wire.chat.completion import loose_json, text_of, tokens_of
from gateway.wire.loose_objects import object_of, objects_of

MARK = b'"message'
"""Bytes in the field `type` of every message and of the first event of every stream."""
START, STOP = "message_start", "message_stop"
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""The finish reason of chat for each of Anthropic's stop reasons."""
READ, WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"


def read_body(body: bytes) -> Answer | None:
    """Return the answer in a body, or None if the body is not a message."""
    message = object_of(loose_json(body))
    if message.get("type") != "message":
        return None
    blocks = objects_of(message.get("content"))
    texts = [text_of(block.get("text")) for block in blocks if block.get("type") == "text"]
    calls = [
        ToolCall(text_of(block.get("name")), json.dumps(object_of(block.get("input")), ensure_ascii=False))
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    return _answer("".join(texts), text_of(message.get("stop_reason")), object_of(message.get("usage")), calls)


def read_events(events: Iterable[bytes]) -> Answer | None:
    """Return the answer in the stream of a message, or None for any other stream."""
    texts: list[str] = []
    usage: dict[str, Any] = {}
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    stop, begun = "", False
    for data in events:
        fields = object_of(loose_json(data))
        kind = fields.get("type")
        if kind == START:
            begun = True
            usage.update(object_of(object_of(fields.get("message")).get("usage")))
        elif kind == "content_block_start":
            block, index = object_of(fields.get("content_block")), tokens_of(fields.get("index")) or 0
            texts.append(text_of(block.get("text")))
            if block.get("type") == "tool_use":
                names[index] = text_of(block.get("name"))
        elif kind == "content_block_delta":
            delta, index = object_of(fields.get("delta")), tokens_of(fields.get("index")) or 0
            texts.append(text_of(delta.get("text")))
            arguments[index] = arguments.get(index, "") + text_of(delta.get("partial_json"))
        elif kind == "message_delta":
            stop = text_of(object_of(fields.get("delta")).get("stop_reason")) or stop
            usage.update({name: count for name, count in object_of(fields.get("usage")).items() if count is not None})
    calls = [ToolCall(name, arguments.get(index, "")) for index, name in names.items()]
    return _answer("".join(texts), stop, usage, calls) if begun else None


def prompt_tokens(usage: dict[str, Any]) -> int | None:
    """Return the number of all prompt tokens. Anthropic's API counts the tokens read from a cache and written to a
    cache separately."""
    tokens = tokens_of(usage.get("input_tokens"))
    if tokens is None:
        return None
    return tokens + (tokens_of(usage.get(READ)) or 0) + (tokens_of(usage.get(WRITTEN)) or 0)


def _answer(text: str, stop: str, usage: dict[str, Any], calls: Iterable[ToolCall]) -> Answer:
    details = object_of(usage.get("output_tokens_details"))
    counts = [
        prompt_tokens(usage),
        tokens_of(usage.get("output_tokens")),
        tokens_of(usage.get(READ)),
        tokens_of(details.get("thinking_tokens")),
    ]
    prompt, completion, cached, reasoning = [-1 if count is None else count for count in counts]
    finish = FINISH.get(stop, stop)
    return Answer(
        text, finish, prompt, completion, cached_tokens=cached, reasoning_tokens=reasoning, calls=tuple(calls)
    )
