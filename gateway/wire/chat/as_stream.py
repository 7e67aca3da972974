"""A whole chat completion as the stream that the client asked for."""

from typing import Any

import msgspec

from gateway.errors import BackendFailed

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"


def events(body: bytes, *, usage: bool) -> list[bytes]:
    """Per choice one event with its message and one with its end, then the usage if wanted, then the end mark.

    Raises `BackendFailed` if the body is no chat completion.
    """
    try:
        whole = _decode(body)
        choices = msgspec.convert(whole.pop("choices", None), list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackendFailed("The backend's answer is not a chat completion.", code="not_an_api") from error
    used = whole.pop("usage", None)
    head = {**whole, "object": "chat.completion.chunk"}
    made = []
    for place, choice in enumerate(choices):
        index, finish = choice.pop("index", place), choice.pop("finish_reason", None)
        message = choice.pop("message", {})
        made.append(_event({**head, "choices": [{**choice, "index": index, "delta": message, "finish_reason": None}]}))
        made.append(_event({**head, "choices": [{"index": index, "delta": {}, "finish_reason": finish}]}))
    if usage and used is not None:
        made.append(_event({**head, "choices": [], "usage": used}))
    return [*made, DONE]


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + _encode(fields) + b"\n\n"
