"""Builds the request for a further answer: the client's chat request with another seed and without streaming."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.wire.chat.completion import loose_json

_object = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode
LIMITS = ("max_tokens", "max_completion_tokens")


class _Options(Struct):
    include_usage: bool = False


class _Streamed(Struct):
    stream_options: _Options | None = None


_streamed = msgspec.json.Decoder(_Streamed)


def whole(raw: bytes, number: int, *, limited: bool = True) -> bytes:
    """Return the request body for answer number `number`.

    The number is added to the client's seed, because requests with equal seeds would give equal answers. If `limited`
    is false, the client's limit for the answer's length is removed, because the limit applies to all answers together.
    """
    fields = _object.decode(raw)
    fields.pop("stream", None)
    fields.pop("stream_options", None)
    if not limited:
        for name in LIMITS:
            fields.pop(name, None)
    seed: Any = loose_json(bytes(fields["seed"])) if "seed" in fields else None
    if number and isinstance(seed, int):
        fields["seed"] = Raw(_encode(seed + number))
    return _encode(fields)


def wants_usage(raw: bytes) -> bool:
    """Return whether the client wants usage at the end of its stream."""
    try:
        options = _streamed.decode(raw).stream_options
    except msgspec.ValidationError:
        return False  # the backend will refuse this body, so the result does not matter
    return options is not None and options.include_usage
