"""Converts a whole response to a stream, for a client that asked for a stream."""

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.errors import BackendFailed
from gateway.wire.chat.completion import loose_json

_encode = msgspec.json.Encoder().encode
ENDS = ("completed", "incomplete", "failed", "cancelled")


def events(body: bytes) -> list[bytes]:
    """Split a response into events, with one delta per text. Raises `BackendFailed` if the body is not a response."""
    response = loose_json(body)
    if not isinstance(response, dict) or response.get("object") != "response":
        raise BackendFailed("The backend's answer is not a response.", code="not_an_api")
    made = [("response.created", {"response": {**response, "status": "in_progress", "output": [], "usage": None}})]
    output = response.get("output")
    for place, item in enumerate(output if isinstance(output, list) else []):
        if isinstance(item, dict):
            made += _item(place, item)
    status = response.get("status")
    made.append((f"response.{status if status in ENDS else ENDS[0]}", {"response": response}))
    return [_event(number, type, fields) for number, (type, fields) in enumerate(made)]


def _item(place: int, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    at = {"item_id": item.get("id", ""), "output_index": place}
    content = item.get("content") if item.get("type") == "message" else None
    begun = {**item, "status": "in_progress"} | ({"content": []} if isinstance(content, list) else {})
    yield "response.output_item.added", {"output_index": place, "item": begun}
    for index, part in enumerate(content if isinstance(content, list) else []):
        if isinstance(part, dict):
            yield from _part({**at, "content_index": index}, part)
    if item.get("type") == "function_call":
        arguments = item.get("arguments", "")
        yield "response.function_call_arguments.delta", {**at, "delta": arguments}
        yield "response.function_call_arguments.done", {**at, "name": item.get("name"), "arguments": arguments}
    yield "response.output_item.done", {"output_index": place, "item": item}


def _part(at: dict[str, Any], part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    field = "refusal" if part.get("type") == "refusal" else "text"
    kind = "refusal" if field == "refusal" else "output_text"
    text = part.get(field, "")
    logprobs = {} if field == "refusal" else {"logprobs": part.get("logprobs") or []}
    yield "response.content_part.added", {**at, "part": {**part, field: ""}}
    yield f"response.{kind}.delta", {**at, "delta": text, **logprobs}
    yield f"response.{kind}.done", {**at, field: text, **logprobs}
    yield "response.content_part.done", {**at, "part": part}


def _event(number: int, type: str, fields: dict[str, Any]) -> bytes:
    data = _encode({"type": type, "sequence_number": number, **fields})
    return b"event: " + type.encode() + b"\ndata: " + data + b"\n\n"
