"""A whole chat completion as the stream that the client asked for."""

from collections.abc import Iterator
from typing import Any

import msgspec

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"


def events(body: bytes, *, usage: bool) -> Iterator[bytes]:
    """Per choice one event with its message and one with its end, then the usage if wanted, then the end mark."""
    whole = _decode(body)
    choices = whole.pop("choices", [])
    used = whole.pop("usage", None)
    head = {**whole, "object": "chat.completion.chunk"}
    for choice in choices:
        message = choice.pop("message", {})
        finish = choice.pop("finish_reason", None)
        yield _event({**head, "choices": [{**choice, "delta": message, "finish_reason": None}]})
        end = {"index": choice.get("index", 0), "delta": {}, "finish_reason": finish}
        yield _event({**head, "choices": [end]})
    if usage and used is not None:
        yield _event({**head, "choices": [], "usage": used})
    yield DONE


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + _encode(fields) + b"\n\n"
