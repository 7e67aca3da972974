"""Decodes a `/v1/messages` body once, for the `Ask` and for a translation that may follow.

Each pass over a body of 40 kB takes some 30 us. `benchmarks/translations.py` shows what the second and third pass cost.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from gateway.ask import Turn
from gateway.wire.chat.request import QUOTE
from gateway.wire.messages.blocks import NO_TEXT, Block
from gateway.wire.messages.chat_messages import GivenMessage

ROLES = ("user", "assistant", "system")
RESULT = "tool_result"
Part = TypeVar("Part")


class DecodedRequest(Struct, frozen=True, gc=False):
    """The parts of a body. Long texts stay undecoded."""

    raw: bytes
    """The body. The other fields count only for these bytes."""
    fields: dict[str, Raw]
    """All fields but `system`, `messages` and `tools`."""
    system: Raw | None
    messages: list[GivenMessage]
    tools: Raw | None
    turns: tuple[Turn, ...]


_object = msgspec.json.Decoder(dict[str, Raw])
_messages = msgspec.json.Decoder(list[GivenMessage])
_blocks = msgspec.json.Decoder(list[Block])
_string = msgspec.json.Decoder(str)
_NULL = Raw(b"null")


def decode_once(raw: bytes) -> DecodedRequest | None:
    """Decode a body of which every part is as Anthropic's API defines it, or return None.

    The typed decoder then says what is wrong, or that the part is one that only the backend understands.
    """
    try:
        fields = _object.decode(raw)
        given = _messages.decode(fields.pop("messages"))
        system, tools = fields.pop("system", None), fields.pop("tools", None)
        turns = [] if system is None or system == _NULL else list(_instructions(system))
        for place, message in enumerate(given, len(turns)):
            if message.role not in ROLES:
                return None
            turns.append(turn_of(message.role, message.content, place, _only_text, _has_result))
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return DecodedRequest(raw, fields, system, given, tools, tuple(turns)) if given else None


def _instructions(system: Raw) -> Iterator[Turn]:
    content: str | list[Block]
    is_text = memoryview(system)[0] == QUOTE
    content = _string.decode(system) if is_text else _blocks.decode(system)
    if not content:
        return
    text = content if isinstance(content, str) else _only_text(content)
    yield Turn("system", text or "", 0, plain=text is not None)


def turn_of(
    role: str,
    content: str | list[Part],
    source: int,
    only_text: Callable[[list[Part]], str | None],
    has_result: Callable[[list[Part]], bool],
) -> Turn:
    """Return the turn of a message. The two functions read its blocks, in whatever form they were decoded."""
    if isinstance(content, str):
        return Turn(role, content, source)
    text = only_text(content)
    if text is not None:
        return Turn(role, text, source)
    return Turn("tool" if role == "user" and has_result(content) else role, "", source, plain=False)


def _has_result(blocks: list[Block]) -> bool:
    return any([block.type == RESULT for block in blocks])


def _only_text(blocks: list[Block]) -> str | None:
    if len(blocks) != 1:
        return None
    block = blocks[0]
    text = block.text
    if block.type != "text" or text is NO_TEXT or memoryview(text)[0] != QUOTE:
        return None
    return _string.decode(text)
