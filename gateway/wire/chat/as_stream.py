"""Turns a whole completion (chat or legacy) into the stream that the client asked for."""

from typing import Any

import msgspec

from gateway.errors import BackendFailed
from gateway.wire.chat.completion import loose_json

_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"


def events(body: bytes, *, usage: bool) -> list[bytes]:
    """Split a completion into events.

    Each choice gives an event with its message and an event with its finish reason. The usage, if requested, and the
    end mark follow. Raises `BackendFailed` if the body is not a completion.
    """
    completion = loose_json(body)
    choices = completion.pop("choices", None) if isinstance(completion, dict) else None
    if not isinstance(choices, list):
        raise BackendFailed("The backend's answer is not a chat completion.", code="not_an_api")
    used = completion.pop("usage", None)
    is_chat = completion.get("object") != "text_completion"
    head = {**completion, "object": "chat.completion.chunk"} if is_chat else completion
    made = []
    for place, choice in enumerate(choices):
        if isinstance(choice, dict):
            made += [_event({**head, "choices": [part]}) for part in _parts(place, choice)]
    if usage and used is not None:
        made.append(_event({**head, "choices": [], "usage": used}))
    return [*made, DONE]


def _parts(place: int, choice: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a choice into two: one with the answer, and one with the finish reason."""
    index = choice.pop("index", None)
    end = {"index": place if index is None else index, "finish_reason": choice.pop("finish_reason", None)}
    if "message" not in choice and "text" in choice:
        return {**choice, **end, "finish_reason": None}, {**end, "text": ""}
    message = choice.pop("message", None)
    delta = _delta(message) if isinstance(message, dict) else {}
    return {**choice, **end, "delta": delta, "finish_reason": None}, {**end, "delta": {}}


def _delta(message: dict[str, Any]) -> dict[str, Any]:
    """Convert a message to a delta. Each tool call gets an `index`."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    numbered = [{"index": place, **call} for place, call in enumerate(calls) if isinstance(call, dict)]
    return {**message, "tool_calls": numbered}


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + _encode(fields) + b"\n\n"
