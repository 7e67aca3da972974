"""Converts model objects between Anthropic's form and OpenAI's, for `/v1/models`."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.wire.chat.completion import loose_json, text_of

_encode = msgspec.json.Encoder().encode


def as_openai(body: bytes) -> bytes:
    """Convert a model, or a list of models, from Anthropic's form. Any other body, such as an error, is returned
    unchanged."""
    fields = loose_json(body)
    if not isinstance(fields, dict):
        return body
    if fields.get("type") == "model":
        return _encode(_model(fields))
    if isinstance(fields.get("data"), list):
        models = [_model(each) for each in fields["data"] if isinstance(each, dict)]
        return _encode({"object": "list", "data": models})
    return body


def as_anthropic(body: bytes) -> bytes:
    """Convert a model, or a list of models, from OpenAI's form. Any other body is returned unchanged."""
    fields = loose_json(body)
    if not isinstance(fields, dict):
        return body
    if fields.get("object") == "model":
        return _encode(_info(fields))
    if fields.get("object") != "list" or not isinstance(fields.get("data"), list):
        return body
    models = [_info(each) for each in fields["data"] if isinstance(each, dict)]
    ends = {"first_id": models[0]["id"], "last_id": models[-1]["id"]} if models else {"first_id": None, "last_id": None}
    return _encode({"data": models, "has_more": False, **ends})


def _info(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the model in Anthropic's form. Fields that the model already has in this form are kept."""
    made = _date(fields.get("created"))
    known = {"id": None, "display_name": fields.get("id"), "created_at": made, "lifecycle": "active"}
    others = {name: value for name, value in fields.items() if name not in ("object", "created", "owned_by")}
    return {**known, **others, "type": "model"}


def _date(seconds: Any) -> str:
    """Return the date. For any other value, return the start of 1970, as Anthropic's API does for unknown dates."""
    try:
        made = datetime.fromtimestamp(seconds or 0, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        made = datetime.fromtimestamp(0, UTC)
    return made.strftime("%Y-%m-%dT%H:%M:%SZ")


def _model(fields: dict[str, Any]) -> dict[str, Any]:
    own = {"id": fields.get("id"), "object": "model", "created": _seconds(text_of(fields.get("created_at")))}
    return {**fields, **own, "owned_by": "anthropic"}


def _seconds(date: str) -> int:
    try:
        at = datetime.fromisoformat(date)
    except ValueError:
        return 0
    return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp())
