"""Adds text before and after a client's message. All other bytes of the message stay as the client sent them."""

from typing import Any

import msgspec
from msgspec import Raw

from gateway.ask import Turn

_object = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode


def with_additions(message: Raw, turn: Turn, kind: str) -> bytes:
    """Return the message with the added text.

    `turn.text` is the new text, in which the client's text starts at `turn.offset`. `kind` is the `type` of a text part
    at this endpoint.
    """
    fields = _object.decode(message)
    content = fields["content"]
    if not bytes(content).startswith(b"["):
        return _encode({**fields, "content": turn.text})
    parts = _list.decode(content)
    own = len(_text.decode(_object.decode(parts[0])["text"]))
    before, after = turn.text[: turn.offset], turn.text[turn.offset + own :]
    return _encode({**fields, "content": [*_parts(before, kind), *parts, *_parts(after, kind)]})


def _parts(text: str, kind: str) -> list[dict[str, Any]]:
    return [{"type": kind, "text": text}] if text else []
