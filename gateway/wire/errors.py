"""Encodes OpenAI's error object, as a body or as the last event of a broken stream."""

import re

import msgspec

from gateway.errors import RequestError
from gateway.wire.chat.completion import CompletionFault, loose_json, read_fault

_NUMBER = re.compile(rb'"sequence_number": ?([0-9]{1,15})(?![0-9])')
_encode = msgspec.json.Encoder().encode


def envelope(error: RequestError) -> bytes:
    """Encode an error as `{"error": {"message", "type", "param", "code"}}`."""
    return _encode({"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}})


def rewritten(body: bytes, status: int) -> bytes:
    """Convert the body of a refusal from another API's form to OpenAI's. The message is kept, and the error's type
    becomes the `code`."""
    fields = loose_json(body)
    error = fields.get("error", fields) if isinstance(fields, dict) else None
    fault = read_fault(error) or CompletionFault()
    message = fault.message or f"The backend refused the request with status {status}."
    kind = "invalid_request_error" if status < 500 else "upstream_error"
    return _encode({"error": {"message": message, "type": kind, "param": fault.param, "code": fault.type}})


def event(error: RequestError) -> bytes:
    """Return the last event of a broken stream. No `[DONE]` follows.

    The event starts with an empty line, because the stream may have broken inside an event.
    """
    return b"\n\ndata: " + envelope(error) + b"\n\n"


def as_event(body: bytes) -> bytes:
    """Convert an error body to an event, for a client that has already received the status. The JSON is put on one
    line."""
    return b"data: " + b" ".join(body.splitlines()) + b"\n\n"


def comment(text: str) -> bytes:
    """Return an SSE comment. Clients ignore the comment, but proxies see that the connection is alive."""
    return f": {' '.join(text.split())}\n\n".encode()


def response_event(error: RequestError, last_piece: bytes) -> bytes:
    """Return the last event of a broken `/v1/responses` stream, whose events are named and numbered.

    The event also contains the object `error`, because the official clients look for this object in every stream.
    """
    numbers = _NUMBER.findall(last_piece)
    fields = {"message": error.message, "param": error.param, "code": error.code}
    event = {"type": "error", "sequence_number": int(numbers[-1]) + 1 if numbers else 0, **fields}
    return b"\n\nevent: error\ndata: " + _encode({**event, "error": {**fields, "type": error.type}}) + b"\n\n"
