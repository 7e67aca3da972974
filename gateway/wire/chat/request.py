"""The fields of a chat completion request that translations to other APIs read.

Long texts stay undecoded JSON. Fields that are not listed here are read by their names where they are translated.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.wire.chat.tool_block import FunctionSpec, ToolBlock, tool_block
from gateway.wire.json_fields import NULL, decoded, missing
from gateway.wire.messages.build import raw_input_of

NOTHING = Raw(NULL)
EMPTY = Raw(b'""')
QUOTE = ord('"')
NO_SCHEMA = Raw(b'{"type":"object","properties":{}}')
TEXTS = ("text", "input_text", "output_text")
"""The types of content parts that hold text."""
SYSTEM = ("system", "developer")
"""The roles of messages with instructions."""


class Function(Struct, frozen=True):
    """The name and the arguments of a call."""

    name: str = ""
    arguments: str = ""

    @property
    def input(self) -> Any:
        """The arguments as JSON, as far as possible undecoded."""
        return raw_input_of(self.arguments)


class RequestedCall(Struct):
    """A call in an assistant's message."""

    id: str = ""
    type: str = "function"
    function: Function = Function()
    extra_content: Any = None


class ChatMessage(Struct):
    """A message of the request."""

    role: str
    content: Raw = NOTHING
    tool_calls: list[RequestedCall] | None = None
    tool_call_id: str = ""
    name: str = ""
    thinking_blocks: list[Raw] | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    refusal: str | None = None
    function_call: Raw | UnsetType = UNSET
    is_error: bool | None = None
    """Whether the result of a tool is an error. Only the gateway's own translation of Anthropic's API writes this."""

    @property
    def has_reasoning(self) -> bool:
        return bool(self.thinking_blocks or self.reasoning_content or self.reasoning)

    def parts(self, where: str) -> "list[ChatContentPart]":
        """Decode the parts of the content. `where` is its path in the request."""
        return read_parts(self.content, where)


class ImageUrl(Struct, omit_defaults=True):
    url: str
    detail: str | None = None


class StoredOrGivenFile(Struct, omit_defaults=True):
    file_data: str = ""
    filename: str | None = None
    file_id: str | None = None


class GivenAudio(Struct):
    data: str = ""
    format: str = ""


class ChatContentPart(Struct, omit_defaults=True):
    """One part of a message's content."""

    type: str = ""
    text: Raw = EMPTY
    refusal: str = ""
    image_url: ImageUrl | None = None
    file: StoredOrGivenFile | None = None
    input_audio: GivenAudio | None = None
    cache_control: Raw | UnsetType = UNSET


class AllowedTool(Struct, frozen=True):
    function: FunctionSpec = FunctionSpec()


class AllowedTools(Struct, frozen=True):
    mode: str = "auto"
    tools: list[AllowedTool] = []


class ChosenTool(Struct):
    type: str = "function"
    function: FunctionSpec = FunctionSpec()
    allowed_tools: AllowedTools = AllowedTools()


class AnswerSchema(Struct):
    name: str = "answer"
    description: str | None = None
    schema: Raw = NO_SCHEMA


class ResponseFormat(Struct):
    type: str = "text"
    json_schema: AnswerSchema | None = None


class GivenThinking(Struct):
    """Anthropic's setting of a model's reasoning, which chat completions may carry too."""

    type: str = ""
    budget_tokens: int | None = None


class ChatFields(Struct):
    """The short fields of a request that are read with their types."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    temperature: float | None = None
    tool_choice: str | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    thinking: Raw | UnsetType = UNSET

    @property
    def limit(self) -> int | None:
        """The longest answer in tokens, or None if the request sets no limit."""
        return self.max_completion_tokens or self.max_tokens or None

    @property
    def reasoning(self) -> GivenThinking:
        """The field `thinking`, decoded. Raises `BadRequest` for a wrong type."""
        given = self.thinking
        return GivenThinking() if given is UNSET or bytes(given) == NULL else decoded(_thinking, given, "thinking")

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


Choice = str | ChosenTool | None


def allowed(tools: ToolBlock, choice: Choice) -> tuple[ToolBlock, Choice]:
    """Return the tools that a choice allows, and the choice among them."""
    if isinstance(choice, ChosenTool) and choice.type == "allowed_tools":
        names = {tool.function.name for tool in choice.allowed_tools.tools}
        return tools.among(names), choice.allowed_tools.mode
    return tools, choice


_fields = msgspec.json.Decoder(ChatFields)
_messages = msgspec.json.Decoder(list[ChatMessage])
_thinking = msgspec.json.Decoder(GivenThinking)
_parts = msgspec.json.Decoder(list[ChatContentPart])
_object = msgspec.json.Decoder(dict[str, Raw])
_text = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode


class ChatRequest:
    """A decoded request. `given` has its fields that are not null, but neither its messages nor its tools."""

    def __init__(self, given: dict[str, Raw], messages: Sequence[ChatMessage], tools: ToolBlock) -> None:
        self.given = given
        self.messages = messages
        self.tools = tools

    @cached_property
    def fields(self) -> ChatFields:
        """The typed fields. Raises `BadRequest`, which names the field, for a wrong type."""
        return decoded(_fields, _encode(self.given))


def read_request(body: bytes) -> ChatRequest:
    """Decode a request. Raises `BadRequest`, which names the field, for a wrong type or for missing messages."""
    given = given_fields(body)
    raw = given.pop("messages", None)
    messages: list[ChatMessage] = [] if raw is None else decoded(_messages, raw, "messages")
    if not messages:
        raise missing("messages")
    return ChatRequest(given, messages, tool_block(given.pop("tools", None)))


def given_fields(body: bytes) -> dict[str, Raw]:
    """Return the fields of a request that are not null, undecoded."""
    return given_of(_object.decode(body))


def given_of(fields: dict[str, Raw]) -> dict[str, Raw]:
    """Return the fields that are not null."""
    return {name: value for name, value in fields.items() if value != NOTHING}


def read_parts(content: Raw, where: str) -> list[ChatContentPart]:
    """Return the parts of a field `content`. A text is one part, and a missing content has none."""
    if content in (NOTHING, EMPTY):
        return []
    if is_text(content):
        return [ChatContentPart("text", content)]
    return decoded(_parts, content, where)


def read_text(text: Raw, where: str) -> str:
    """Decode a text. Raises `BadRequest` if it is something else."""
    return decoded(_text, text, where)


def is_text(content: Raw) -> bool:
    return memoryview(content)[0] == QUOTE  # not a copy of a long text


def data_of(url: str) -> tuple[str, str]:
    """Return the media type and the base64 text of a data URL. For any other URL, both are ""."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:"):
        return "", ""
    return head[5:].partition(";")[0], data
