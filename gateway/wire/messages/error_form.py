"""Encodes and reads errors in the form of Anthropic's API."""

from typing import Any

import msgspec

from gateway.errors import RequestError
from gateway.wire.chat.completion import CompletionFault, loose_json, read_fault, text_of

_encode = msgspec.json.Encoder().encode
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The error type for each status. Any other status below 500 gets the type of 400, and any other status from 500 the
type of 500."""
STATUSES = {kind: status for status, kind in TYPES.items()}
"""The status for each error type. An error inside a stream has a type but no status."""


def envelope(error: RequestError, request_id: str = "") -> bytes:
    """Encode an error as `{"type": "error", "error": {"type", "message"}}`. `request_id` is the exchange's id."""
    return _written(error.status, error.message, request_id)


def event(error: RequestError, request_id: str = "") -> bytes:
    """Return the last event of a broken stream.

    The event starts with an empty line, because the stream may have broken inside an event.
    """
    return b"\n\nevent: error\ndata: " + envelope(error, request_id) + b"\n\n"


def as_event(body: bytes) -> bytes:
    """Convert an error body to an event, for a client that has already received the status. The JSON is put on one
    line."""
    return b"event: error\ndata: " + b" ".join(body.splitlines()) + b"\n\n"


def rewritten(body: bytes, status: int, request_id: str = "") -> bytes:
    """Convert a refusal from OpenAI's form to Anthropic's. The message is kept."""
    return _written(status, _message_in(body, status), request_id)


def fault_in_event(data: bytes) -> CompletionFault:
    """Read the failure in an `error` event. The event's error type determines the status."""
    fields = loose_json(data)
    error = fields.get("error") if isinstance(fields, dict) else None
    fault = read_fault(error) or CompletionFault(data.decode("utf-8", "replace"))
    kind = text_of(error.get("type")) if isinstance(error, dict) else ""
    return CompletionFault(fault.message, STATUSES.get(kind), kind)


def _written(status: int, message: str, request_id: str) -> bytes:
    kind = TYPES.get(status, TYPES[400] if status < 500 else TYPES[500])
    fields: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    return _encode(fields | ({"request_id": request_id} if request_id else {}))


def _message_in(body: bytes, status: int) -> str:
    fields = loose_json(body)
    error = fields.get("error", fields) if isinstance(fields, dict) else None
    fault = read_fault(error)
    return (fault.message if fault else None) or f"The backend refused the request with status {status}."
