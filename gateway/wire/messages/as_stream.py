"""Converts a whole message to a stream, for a client that asked for a stream."""

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.errors import BackendFailed
from gateway.wire.chat.completion import loose_json, text_of

_encode = msgspec.json.Encoder().encode
DELTAS = {
    "text": ("text_delta", "text", ""),
    "thinking": ("thinking_delta", "thinking", ""),
    "tool_use": ("input_json_delta", "input", {}),
    "server_tool_use": ("input_json_delta", "input", {}),
}
"""For each type of block: the type of its deltas, the field that the deltas extend, and the field's first value."""


def events(body: bytes) -> list[bytes]:
    """Split a message into events, with one delta per block. Raises `BackendFailed` if the body is not a message."""
    message = loose_json(body)
    if not isinstance(message, dict) or message.get("type") != "message":
        raise BackendFailed("The backend's answer is not a message of Anthropic's API.", code="not_an_api")
    usage = message.get("usage") or {}
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    made = [event("message_start", {"message": begun})]
    content = message.get("content")
    for index, block in enumerate(content if isinstance(content, list) else []):
        if isinstance(block, dict):
            made += _block(index, block)
    delta = {"stop_reason": message.get("stop_reason"), "stop_sequence": message.get("stop_sequence")}
    made.append(event("message_delta", {"delta": delta, "usage": usage}))
    return [*made, event("message_stop", {})]


def event(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _encode({"type": kind, **fields}) + b"\n\n"


def _block(index: int, block: dict[str, Any]) -> Iterator[bytes]:
    """Yield the events of one block. If the block's type is unknown, the first event has the whole block."""
    delta = DELTAS.get(text_of(block.get("type")))
    begun = block if delta is None else {**block, delta[1]: delta[2]}
    signature = begun.get("signature")
    if delta is not None and signature:
        begun = {**begun, "signature": ""}
    yield event("content_block_start", {"index": index, "content_block": begun})
    if delta is not None:
        value = block.get(delta[1]) or delta[2]
        text = value if isinstance(value, str) else _encode(value).decode()
        field = "partial_json" if delta[1] == "input" else delta[1]
        yield event("content_block_delta", {"index": index, "delta": {"type": delta[0], field: text}})
        if signature:
            signed = {"type": "signature_delta", "signature": signature}
            yield event("content_block_delta", {"index": index, "delta": signed})
    yield event("content_block_stop", {"index": index})
