"""OpenAI's error object, as a body and as the event that ends a broken stream."""

import msgspec

from gateway.errors import RequestError

_encode = msgspec.json.Encoder().encode


def envelope(error: RequestError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`."""
    return _encode({"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}})


def event(error: RequestError) -> bytes:
    """One SSE event that a stream ends with when it broke; no `[DONE]` follows it.

    It starts with an empty line, because the stream may have broken inside an event.
    """
    return b"\n\ndata: " + envelope(error) + b"\n\n"
