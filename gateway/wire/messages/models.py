"""Converts Anthropic's model objects to OpenAI's, for `/v1/models`."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.wire.chat.completion import loose_json, text_of

_encode = msgspec.json.Encoder().encode


def as_openai(body: bytes) -> bytes:
    """Convert a model or a list of models. Other bodies, such as errors, are returned unchanged."""
    fields = loose_json(body)
    if not isinstance(fields, dict):
        return body
    if fields.get("type") == "model":
        return _encode(_model(fields))
    if isinstance(fields.get("data"), list):
        models = [_model(each) for each in fields["data"] if isinstance(each, dict)]
        return _encode({"object": "list", "data": models})
    return body


def _model(fields: dict[str, Any]) -> dict[str, Any]:
    own = {"id": fields.get("id"), "object": "model", "created": _seconds(text_of(fields.get("created_at")))}
    return {**fields, **own, "owned_by": "anthropic"}


def _seconds(date: str) -> int:
    try:
        at = datetime.fromisoformat(date)
    except ValueError:
        return 0
    return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp())
