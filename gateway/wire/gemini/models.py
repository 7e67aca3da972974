"""Converts the list of models of the Gemini API to OpenAI's form, for `/v1/models`."""

from typing import Any

import msgspec

from gateway.wire.chat.completion import loose_json, text_of
from gateway.wire.loose_objects import object_of, objects_of

_encode = msgspec.json.Encoder().encode


def as_openai(body: bytes) -> bytes:
    """Convert a model, or a list of models. Any other body is returned unchanged."""
    fields = object_of(loose_json(body))
    if isinstance(fields.get("models"), list):
        return _encode({"object": "list", "data": [_model(each) for each in objects_of(fields["models"])]})
    return _encode(_model(fields)) if fields.get("name") else body


def _model(fields: dict[str, Any]) -> dict[str, Any]:
    id = text_of(fields.get("name")).removeprefix("models/")
    return {**fields, "id": id, "object": "model", "created": 0, "owned_by": "google"}
