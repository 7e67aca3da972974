"""A whole chat completion as the stream that the client asked for."""

from typing import Any

import msgspec
from msgspec import Struct

from gateway.errors import BackendFailed


class _Body(Struct):
    choices: list[dict[str, Any]]


_decode = msgspec.json.Decoder(dict[str, Any]).decode
_body = msgspec.json.Decoder(_Body).decode
_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"


def events(body: bytes, *, usage: bool) -> list[bytes]:
    """Per choice one event with its message and one with its end, then the usage if wanted, then the end mark.

    Raises `BackendFailed` if the body is no chat completion.
    """
    try:
        whole, choices = _decode(body), _body(body).choices
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackendFailed("The backend's answer is not a chat completion.", code="not_an_api") from error
    used = whole.pop("usage", None)
    head = {**whole, "object": "chat.completion.chunk"}
    head.pop("choices")
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
