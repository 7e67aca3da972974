"""Removes Anthropic's own fields from a chat request that was translated for a backend which takes them.

This happens only if another backend answers in place of that one.
"""

from typing import Any

import msgspec

from gateway.wire.chat.completion import loose_json, text_of
from gateway.wire.loose_objects import object_of, objects_of
from gateway.wire.messages.losses import Losses

_encode = msgspec.json.Encoder().encode
MARK = "cache_control"


def plain_body(body: bytes, losses: Losses) -> bytes:
    """Return the request as any OpenAI-compatible server takes it."""
    fields = object_of(loose_json(body))
    if fields.pop("thinking", None) is not None:
        losses.add("thinking", "the model decides itself")
    fields["messages"] = _messages(objects_of(fields.get("messages")), losses)
    for tool in objects_of(fields.get("tools")):
        _unmark(tool, losses)
    return _encode(fields)


def _messages(given: list[dict[str, Any]], losses: Losses) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    held: list[dict[str, Any]] = []
    for message in given:
        if held and message.get("role") != "tool":
            messages.append({"role": "user", "content": held})
            held = []
        held += _plain(message, losses)
        messages.append(message)
    return [*messages, {"role": "user", "content": held}] if held else messages


def _plain(message: dict[str, Any], losses: Losses) -> list[dict[str, Any]]:
    """Change the message, and return those of its parts that a tool's message cannot have."""
    thoughts = [text_of(block.get("thinking")) for block in objects_of(message.pop("thinking_blocks", None))]
    if thought := "\n\n".join(filter(None, thoughts)):
        message.setdefault("reasoning_content", thought)
    if message.pop("is_error", None):
        losses.add("tool_result.is_error")
    content = message.get("content")
    if not isinstance(content, list):
        return []
    parts = objects_of(content)
    for part in parts:
        _unmark(part, losses)
    if message.get("role") != "tool":
        return []
    texts = [text_of(part.get("text")) for part in parts if part.get("type") == "text"]
    others = [part for part in parts if part.get("type") != "text"]
    message["content"] = "\n".join(texts)
    if others:
        losses.add("tool_result images", "sent in a user message after the results")
    return others


def _unmark(fields: dict[str, Any], losses: Losses) -> None:
    if fields.pop(MARK, None) is not None:
        losses.add(MARK)
