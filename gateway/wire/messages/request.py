"""Decodes a `/v1/messages` body to an `Ask`, and writes the turns of an exchange back into the body.

The turns are `system`, if any, followed by the `messages`. A message with tool results becomes a turn with the role
`tool`, as in chat.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from gateway.ask import Ask, Endpoint, Turn
from gateway.errors import BadRequest
from gateway.wire.added import with_additions
from gateway.wire.chat.decode import ForewordObject, controls_of, is_given
from gateway.wire.json_fields import decoded, missing, parsed
from gateway.wire.mcp.servers import servers_of
from gateway.wire.messages.decoded_request import DecodedRequest, decode_once, turn_of
from gateway.wire.prompts import prompt_of

SYSTEM = ("system", "developer")
TOOL_RESULT = b'"tool_result"'
"""Bytes in every block with a tool result."""


class _MessageFields(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class _BlockFields(Struct):
    type: str
    text: str | UnsetType = UNSET


class _OutputFields(Struct):
    format: Raw | UnsetType = UNSET


class _MetadataFields(Struct):
    user_id: str | None = None


class _ThinkingFields(Struct):
    type: str = ""
    display: str | None = None

    @property
    def is_shown(self) -> bool:
        return self.type not in ("", "disabled") and self.display != "omitted"


class MessagesBody(Struct):
    """The fields of a `/v1/messages` request that the gateway uses. All other fields pass through unread."""

    messages: Annotated[list[_MessageFields], Meta(min_length=1)] | UnsetType = UNSET
    """This field is required, unless `prompt` names a template."""
    model: str = ""
    max_tokens: int | None = None
    system: str | list[Raw] | None = None
    stream: bool | None = None
    temperature: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    mcp_servers: Raw | UnsetType = UNSET
    container: Raw | UnsetType = UNSET
    output_config: _OutputFields | None = None
    output_format: Raw | UnsetType = UNSET
    metadata: _MetadataFields | None = None
    thinking: _ThinkingFields | None = None
    prompt: Raw | UnsetType = UNSET
    foreword: ForewordObject | UnsetType | None = UNSET


class TokenCountBody(Struct):
    """The fields of a `/v1/messages/count_tokens` request that the gateway uses."""

    messages: list[Raw]
    model: str = ""
    foreword: ForewordObject | UnsetType | None = UNSET


_body = msgspec.json.Decoder(MessagesBody)
_count = msgspec.json.Decoder(TokenCountBody)
_block = msgspec.json.Decoder(_BlockFields)
_object = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode
NOTHING = (b"null", b'""', b"[]")
NO_MESSAGES: list[_MessageFields] = []


def ask(raw: bytes, headers: Mapping[bytes, bytes]) -> Ask:
    """Decode a `/v1/messages` request. Raises `BadRequest` with the name of the invalid field."""
    read = decode_once(raw)
    body = _body_of(read) if read is not None else None
    if read is None or body is None:
        read, body = None, decoded(_body, raw)
    named, stored = prompt_of(body.prompt)
    if body.messages is UNSET and named is None:
        raise missing("messages")
    if body.max_tokens is not None and body.max_tokens < 1:
        raise BadRequest("max_tokens: must be greater than or equal to 1", param="max_tokens", code="invalid_value")
    output = body.output_config
    return Ask(
        endpoint=Endpoint.MESSAGES,
        model=body.model,
        raw=raw,
        turns=_turns(body) if read is None else read.turns,
        stream=bool(body.stream),
        room_tokens=body.max_tokens or 0,
        greedy=body.temperature is not UNSET and bytes(body.temperature) in (b"0", b"0.0"),
        has_tools=is_given(body.tools) or is_given(body.mcp_servers),
        has_format=is_given(body.output_format) or (output is not None and is_given(output.format)),
        kept_elsewhere=stored or is_given(body.container),
        user=(body.metadata.user_id or "") if body.metadata else "",
        shows_thinking=body.thinking is not None and body.thinking.is_shown,
        named=named,
        mcp=servers_of(body.mcp_servers, body.tools),
        controls=controls_of(body.foreword, headers),
        marked=body.foreword is not UNSET,
        read=read,
    )


def _body_of(read: DecodedRequest) -> MessagesBody | None:
    """Return the typed fields, without messages and `system`. None if one of them has a wrong type."""
    try:
        body = _body.decode(_encode(read.fields))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    body.messages = NO_MESSAGES
    body.tools = UNSET if read.tools is None else read.tools
    return body


def token_count(raw: bytes, headers: Mapping[bytes, bytes]) -> Ask:
    """Decode a `/v1/messages/count_tokens` request. The `Ask` has no turns, because the prompt is counted unchanged."""
    body: TokenCountBody = decoded(_count, raw)
    controls, marked = controls_of(body.foreword, headers), body.foreword is not UNSET
    return Ask(Endpoint.TOKEN_COUNT, body.model, raw, controls=controls, marked=marked)


def put_turns(fields: dict[str, Raw], turns: Sequence[Turn]) -> None:
    """Write `turns` into the body's `system` and `messages`. Unchanged turns stay byte for byte.

    System turns that the gateway added go into `system`. System messages among the client's `messages` stay there.
    """
    system = fields.pop("system", None)
    own = [] if system is None or _is_empty(system) else [system]
    sources = [*own, *_list.decode(fields.get("messages", Raw(b"[]")))]
    instructions, messages = [], []
    for turn in turns:
        place = turn.source if turn.source >= 0 else turn.around
        if turn.role in SYSTEM and place < len(own):
            instructions.append(_instruction(turn, own))
        else:
            messages.append(_message_of(turn, sources))
    if instructions:
        fields["system"] = _joined(instructions)
    fields["messages"] = Raw(b"[" + b",".join(messages) + b"]")


def _is_empty(system: Raw) -> bool:
    # an empty list may contain blanks
    return bytes(system) in NOTHING or (memoryview(system)[0] == ord("[") and not _list.decode(system))


def _turns(body: MessagesBody) -> tuple[Turn, ...]:
    turns = []
    if body.system:
        text = body.system if isinstance(body.system, str) else _only_text(body.system)
        turns.append(Turn("system", text or "", 0, plain=text is not None))
    offset = len(turns)
    for place, message in enumerate(() if body.messages is UNSET else body.messages, offset):
        turns.append(turn_of(message.role, message.content, place, _only_text, _has_result))
    return tuple(turns)


def _has_result(blocks: Sequence[Raw]) -> bool:
    return any([TOOL_RESULT in bytes(block) for block in blocks])


def _only_text(blocks: Sequence[Raw]) -> str | None:
    if len(blocks) != 1:
        return None
    try:
        block = parsed(_block, blocks[0])
    except msgspec.ValidationError:
        return None  # the backend validates unknown kinds of blocks
    return block.text if block.type == "text" and isinstance(block.text, str) else None


def _instruction(turn: Turn, own: Sequence[Raw]) -> Raw:
    """Return the JSON that represents a system turn in the field `system`."""
    if turn.source >= 0:
        return own[turn.source]
    if turn.around >= 0:
        message = Raw(b'{"content":' + bytes(own[turn.around]) + b"}")
        return _object.decode(with_additions(message, turn, "text"))["content"]
    return Raw(_encode(turn.text))


def _joined(instructions: Sequence[Raw]) -> Raw:
    if len(instructions) == 1:
        return instructions[0]
    blocks = []
    for each in instructions:
        blocks += _list.decode(each) if bytes(each).startswith(b"[") else [Raw(b'{"type":"text","text":' + each + b"}")]
    return Raw(_encode(blocks))


def _message_of(turn: Turn, sources: Sequence[Raw]) -> bytes:
    if turn.source >= 0:
        return bytes(sources[turn.source])
    if turn.around >= 0:
        return with_additions(sources[turn.around], turn, "text")
    return _encode({"role": turn.role, "content": turn.text})
