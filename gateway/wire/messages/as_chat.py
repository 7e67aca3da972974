"""Translates a `/v1/messages` request to a chat completion request, for backends without `/v1/messages`.

Fields that neither API defines pass unchanged. Chat completions lack some of Anthropic's fields. If the answer would
mean something else without such a field, the request is refused. Otherwise, the field is left out and a note says so.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.errors import BadRequest
from gateway.wire.chat.request import NOTHING, ChatRequest, given_fields, given_of
from gateway.wire.chat.tool_block import ChatTool, FunctionSpec, KeptBlocks, ToolBlock
from gateway.wire.json_fields import decoded, missing
from gateway.wire.messages.blocks import WHY_CHAT
from gateway.wire.messages.chat_messages import GivenMessage, MadeMessage, messages
from gateway.wire.messages.decoded_request import DecodedRequest
from gateway.wire.messages.losses import Losses
from gateway.wire.unknown_fields import note_unknown

_object = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode

REFUSED = {
    "mcp_servers": "Name servers that the gateway's configuration registers, or answer the calls yourself.",
    "container": "Leave it out.",
    "inference_geo": "Leave it out, and choose a model in that region.",
    "n": "A message is one answer; send several requests.",
    "functions": "Here they are 'tools'.",
    "response_format": "Here it is called 'output_config.format'.",
    "max_completion_tokens": "Here it is called 'max_tokens'.",
    "stop": "Here it is called 'stop_sequences'.",
}
LEFT_OUT = (
    "cache_control",
    "context_management",
    "diagnostics",
    "speed",
    "user_profile_id",
    "workspace_id",
    "betas",
)
TOOL_FIELDS = ("input_examples", "defer_loading", "eager_input_streaming", "allowed_callers")
"""The tool fields that Anthropic's API defines and chat completions lack."""
TRANSLATED = (
    "system",
    "messages",
    "max_tokens",
    "stop_sequences",
    "stream",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "metadata",
    "service_tier",
)
ANSWERED = frozenset((*TRANSLATED, *LEFT_OUT, *REFUSED))
"""The fields that this module translates. Every other field passes unchanged."""
OF_CHAT = (
    "model",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "user",
    "store",
    "prediction",
    "modalities",
    "audio",
    "verbosity",
    "reasoning_effort",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "web_search_options",
    "stream_options",
    "chat_template_kwargs",
)
"""The fields of chat completions that a client may send."""
KNOWN = ANSWERED | frozenset(OF_CHAT)
WITHOUT_EFFECT = (b"null", b"false", b"[]", b"{}")
LONGEST_USER = 64
"""OpenAI's limit for the length of `user`, in characters."""
SCHEMA_NAME = "answer"
CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class _OfferedTool(Struct):
    name: str = ""
    type: str | None = None
    description: Raw | UnsetType = UNSET
    input_schema: Raw | UnsetType = UNSET
    strict: Raw | UnsetType = UNSET
    input_examples: Raw | UnsetType = UNSET
    defer_loading: Raw | UnsetType = UNSET
    eager_input_streaming: Raw | UnsetType = UNSET
    allowed_callers: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET


class _OfferedChoice(Struct):
    type: str
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class _Thinking(Struct):
    type: str = "disabled"
    budget_tokens: int | None = None
    display: str | None = None


class _Format(Struct):
    type: str
    schema: Raw = Raw(b"{}")


class _OutputConfig(Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(Struct):
    user_id: str | None = None


class _MessageKnobs(Struct):
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    tool_choice: _OfferedChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None


_knobs = msgspec.json.Decoder(_MessageKnobs)
_messages = msgspec.json.Decoder(list[GivenMessage])
_offered = msgspec.json.Decoder(list[_OfferedTool])


class TranslatedRequest(ChatRequest):
    """A translated request. `head` is a JSON object with all of its fields but the messages and the tools."""

    messages: Sequence[MadeMessage]

    def __init__(self, head: bytes, made: Sequence[MadeMessage], tools: ToolBlock) -> None:
        super().__init__(_object.decode(head), made, tools)
        self._head = head

    @property
    def has_choice(self) -> bool:
        """Whether the request has a `tool_choice`."""
        return "tool_choice" in self.given

    @cached_property
    def body(self) -> bytes:
        """The request as JSON."""
        parts = [b'{"messages":', _encode([message.as_json() for message in self.messages])]
        if self.tools:
            parts += [b',"tools":', self.tools.raw]
        return b"".join([*parts, b"," if self.given else b"", self._head[1:]])


def chat_body(
    body: bytes | DecodedRequest, losses: Losses, model: str = "", room_tokens: int = 0, *, extended: bool = False
) -> TranslatedRequest:
    """Translate the request, which may be decoded already. Raises `BadRequest` for features that chat completions lack.

    With `extended`, the backend's chat completions take `thinking`, `thinking_blocks` and `cache_control`.

    A given `model` replaces the name of the client's model. A given `room_tokens` replaces the client's `max_tokens`.
    """
    given: Raw | list[GivenMessage] | None
    if isinstance(body, DecodedRequest):
        fields, given = given_of(body.fields), body.messages
        system, offered = [None if part == NOTHING else part for part in (body.system, body.tools)]
    else:
        fields = given_fields(body)
        system, given, offered = [fields.pop(name, None) for name in ("system", "messages", "tools")]
    for name, remedy in REFUSED.items():
        if name in fields and bytes(fields[name]) not in WITHOUT_EFFECT:
            raise untranslatable(name, remedy)
    for name in LEFT_OUT:
        if name in fields and bytes(fields[name]) not in WITHOUT_EFFECT:
            losses.add(name)
    knobs = decoded(_knobs, _encode(fields))
    came = given if isinstance(given, list) else [] if given is None else decoded(_messages, given, "messages")
    turns = messages(system, came, losses, extended=extended)
    if not turns:
        raise missing("messages")
    tools = _kept[extended].decoded(offered)
    losses.add_all(tools.lost)
    written: dict[str, Any] = {
        **_stops(knobs),
        **(_choice_of(knobs) if tools else {}),
        **_output(knobs, losses, extended),
        **_about(knobs, losses),
    }
    if knobs.stream:
        # the last chunk of the stream then holds the usage
        written |= {"stream": True, "stream_options": {"include_usage": True}}
    if extended and "thinking" in fields:
        written["thinking"] = fields["thinking"]
    if room_tokens:
        written["max_tokens"] = room_tokens
    if model:
        written["model"] = model
    unchanged = {name: value for name, value in fields.items() if name not in ANSWERED}
    if not extended:  # else the backend translates further, and knows what is unknown
        note_unknown(unchanged, KNOWN, losses)
    return TranslatedRequest(_encode({**unchanged, **written}), turns, tools)


def untranslatable(param: str, remedy: str) -> BadRequest:
    return BadRequest(
        f"Unsupported parameter: chat completions have no '{param}'. {remedy} {WHY_CHAT}",
        param=param,
        code="unsupported_parameter",
    )


def _stops(knobs: _MessageKnobs) -> dict[str, Any]:
    return {"stop": knobs.stop_sequences} if knobs.stop_sequences else {}


def _choice_of(knobs: _MessageKnobs) -> dict[str, Any]:
    choice = knobs.tool_choice
    if choice is None:
        return {}
    single = {"parallel_tool_calls": False} if choice.disable_parallel_tool_use else {}
    return {"tool_choice": _choice(choice), **single}


def _tool_block(content: bytes, *, extended: bool) -> ToolBlock:
    offered, lost = decoded(_offered, content, "tools"), Losses()
    for name in TOOL_FIELDS:
        if any(getattr(tool, name) is not UNSET for tool in offered):
            lost.add(f"tools.{name}")
    if not extended and any(tool.cache_control is not UNSET for tool in offered):
        lost.add("cache_control")
    return ToolBlock([_function(tool, place, extended) for place, tool in enumerate(offered)], lost)


_kept = {extended: KeptBlocks(partial(_tool_block, extended=extended)) for extended in (False, True)}


def _function(tool: _OfferedTool, place: int, extended: bool) -> ChatTool:
    if tool.type not in (None, "custom"):
        raise BadRequest(
            f"Unsupported value: 'tools[{place}].type' is {tool.type!r}, and the tools of chat completions are "
            "functions. Describe it as a tool with an 'input_schema' and answer its calls yourself, or use a model "
            f"whose backend has /v1/messages. {WHY_CHAT}",
            param=f"tools[{place}].type",
            code="unsupported_value",
        )
    optional = [UNSET if value == NOTHING else value for value in (tool.description, tool.input_schema, tool.strict)]
    mark = tool.cache_control if extended else UNSET
    return ChatTool("function", FunctionSpec(tool.name, *optional), mark)


def _choice(choice: _OfferedChoice) -> Any:
    if choice.type == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    if choice.type not in CHOICES:
        known = ", ".join([*CHOICES, "tool"])
        raise BadRequest(
            f"Invalid value for 'tool_choice.type': {choice.type!r}. Supported: {known}.",
            param="tool_choice.type",
            code="invalid_value",
        )
    return CHOICES[choice.type]


def _output(knobs: _MessageKnobs, losses: Losses, extended: bool) -> dict[str, Any]:
    """Translate the reasoning effort and the output format.

    A thinking budget is recorded as a loss: chat completions have no such field, and the model decides by itself.
    """
    thinking, config = knobs.thinking, knobs.output_config
    if thinking is not None and thinking.type != "disabled" and not extended:
        losses.add("thinking.budget_tokens" if thinking.budget_tokens else "thinking", "the model decides itself")
    extra: dict[str, Any] = {}
    if config is not None and config.effort == "max":
        losses.add("output_config.effort", "max is sent as xhigh")
        extra["reasoning_effort"] = "xhigh"
    elif config is not None and config.effort:
        extra["reasoning_effort"] = config.effort
    form = knobs.output_format or (config.format if config is not None else None)
    if form is None:
        return extra
    if form.type != "json_schema":
        raise untranslatable("output_config.format.type", "Use 'json_schema'.")
    schema = {"name": SCHEMA_NAME, "schema": form.schema, "strict": True}
    return {**extra, "response_format": {"type": "json_schema", "json_schema": schema}}


def _about(knobs: _MessageKnobs, losses: Losses) -> Mapping[str, Any]:
    extra: dict[str, Any] = {}
    user = knobs.metadata.user_id if knobs.metadata else None
    if user and len(user) > LONGEST_USER:
        losses.add("metadata.user_id", f"longer than {LONGEST_USER} characters")
    elif user:
        extra["user"] = user
    if knobs.service_tier == "standard_only":
        extra["service_tier"] = "default"
    return extra
