"""Decodes a `/v1/responses` body to an `Ask`, and writes the turns of an exchange back into the body.

The turns are `instructions`, if any, followed by the items of `input`. For backends that support only chat,
`as_chat.py` translates the request.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.ask import Ask, Endpoint, Turn
from gateway.wire.added import with_additions
from gateway.wire.chat.decode import ForewordObject, controls_of, is_given
from gateway.wire.json_fields import decoded, parsed
from gateway.wire.mcp.tools import mcp_of
from gateway.wire.prompts import prompt_of
from gateway.wire.responses.search import search_of

TEXT_PARTS = ("input_text", "output_text", "text")
SYSTEM = ("system", "developer")


class _RequestedFormat(Struct):
    type: str = "text"


class _RequestedText(Struct):
    format: _RequestedFormat | None = None


class ResponsesBody(Struct):
    """The fields of a `/v1/responses` request that the gateway uses. All other fields pass through unread."""

    model: str = ""
    input: str | list[Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    temperature: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    tool_choice: Raw | UnsetType = UNSET
    include: Raw | UnsetType = UNSET
    text: _RequestedText | None = None
    previous_response_id: str | None = None
    conversation: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    user: str | None = None
    foreword: ForewordObject | UnsetType | None = UNSET


class _RequestItem(Struct):
    type: str = "message"
    role: str = ""
    content: str | list[Raw] | None = None


class _RequestPart(Struct):
    type: str = ""
    text: str | UnsetType = UNSET


_body = msgspec.json.Decoder(ResponsesBody)
_item = msgspec.json.Decoder(_RequestItem)
_part = msgspec.json.Decoder(_RequestPart)
_list = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode
# the role of items that are not messages
_SPEAKER = {"function_call": "assistant", "reasoning": "assistant", "function_call_output": "tool"}


def ask(raw: bytes, headers: Mapping[bytes, bytes]) -> Ask:
    """Decode a `/v1/responses` request. Raises `BadRequest` with OpenAI's wording and the name of the invalid field."""
    body: ResponsesBody = decoded(_body, raw)
    named, stored = prompt_of(body.prompt)
    return Ask(
        endpoint=Endpoint.RESPONSES,
        model=body.model,
        raw=raw,
        turns=_turns(body),
        stream=bool(body.stream),
        room_tokens=max(0, body.max_output_tokens or 0),
        greedy=body.temperature is not UNSET and bytes(body.temperature) in (b"0", b"0.0"),
        has_tools=is_given(body.tools),
        may_require_call=is_given(body.tool_choice),
        has_format=body.text is not None and body.text.format is not None and body.text.format.type != "text",
        kept_elsewhere=stored or bool(body.previous_response_id) or is_given(body.conversation),
        previous=body.previous_response_id or "",
        user=body.user or "",
        named=named,
        search=search_of(body.tools, body.tool_choice, body.include, body.input),
        mcp=mcp_of(body.tools),
        controls=controls_of(body.foreword, headers),
        marked=body.foreword is not UNSET,
    )


def put_turns(fields: dict[str, Raw], turns: Sequence[Turn]) -> None:
    """Write `turns` into the body's `instructions` and `input`. Unchanged turns stay byte for byte."""
    sources, offset = _sources(fields)
    turns = tuple(turns)
    fields.pop("instructions", None)
    if turns and turns[0].role in SYSTEM and (turns[0].source < 0 or turns[0].source < offset):
        fields["instructions"] = sources[0] if turns[0].source == 0 else Raw(_encode(turns[0].text))
        turns = turns[1:]
    items = [_item_of(turn, sources) for turn in turns]
    fields["input"] = Raw(b"[" + b",".join(items) + b"]")


def as_items(given: Raw | None) -> list[Raw]:
    """Return the items of `input`. If `input` is a string, the only item is a user message."""
    if given is None or bytes(given) == b"null":
        return []
    if bytes(given).startswith(b'"'):
        return [Raw(b'{"role":"user","content":' + bytes(given) + b"}")]
    return _list.decode(given)


def _turns(body: ResponsesBody) -> tuple[Turn, ...]:
    turns = [Turn("system", body.instructions, 0)] if body.instructions else []
    if isinstance(body.input, str):
        turns.append(Turn("user", body.input, len(turns)))
    for raw in body.input if isinstance(body.input, list) else ():
        turns.append(_turn(raw, len(turns)))
    return tuple(turns)


def _turn(raw: Raw, source: int) -> Turn:
    try:
        item = parsed(_item, raw)
    except msgspec.ValidationError:
        return Turn("user", "", source, plain=False)  # the backend validates unknown kinds of items
    if item.type != "message":
        return Turn(_SPEAKER.get(item.type, "assistant"), "", source, plain=False)
    text = item.content if isinstance(item.content, str) else _only_text(item.content or [])
    return Turn(item.role or "user", text or "", source, plain=text is not None)


def _only_text(parts: Sequence[Raw]) -> str | None:
    if len(parts) != 1:
        return None
    try:
        part = parsed(_part, parts[0])
    except msgspec.ValidationError:
        return None
    return part.text if part.type in TEXT_PARTS and isinstance(part.text, str) else None


def _sources(fields: Mapping[str, Raw]) -> tuple[list[Raw], int]:
    """Return the JSON of each turn, and how many of the turns come from `instructions` (0 or 1)."""
    instructions = fields.get("instructions")
    sources = [] if instructions is None or bytes(instructions) in (b"null", b'""') else [instructions]
    offset = len(sources)
    return [*sources, *as_items(fields.get("input"))], offset


def _item_of(turn: Turn, sources: Sequence[Raw]) -> bytes:
    if turn.source >= 0:
        return bytes(sources[turn.source])
    if turn.around >= 0 and bytes(sources[turn.around]).startswith(b"{"):
        return with_additions(sources[turn.around], turn, "input_text")
    return _encode({"role": turn.role, "content": turn.text})
