"""One more answer to a chat request: the client's own request, whole instead of streamed, with another seed."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

_object = msgspec.json.Decoder(dict[str, Raw])
_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


class _Options(Struct):
    include_usage: bool = False


class _Streamed(Struct):
    stream_options: _Options | None = None


_streamed = msgspec.json.Decoder(_Streamed)


def whole(raw: bytes, number: int) -> bytes:
    """The body of the `number`th draw. A client's seed is counted on, since with one seed all draws are equal."""
    fields = _object.decode(raw)
    fields.pop("stream", None)
    fields.pop("stream_options", None)
    seed: Any = _any.decode(fields["seed"]) if "seed" in fields else None
    if number and isinstance(seed, int):
        fields["seed"] = Raw(_encode(seed + number))
    return _encode(fields)


def wants_usage(raw: bytes) -> bool:
    """Whether the client's stream is to end with its usage."""
    try:
        options = _streamed.decode(raw).stream_options
    except msgspec.ValidationError:
        return False  # the backend would have refused it; here nothing depends on it
    return options is not None and options.include_usage
