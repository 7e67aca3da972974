"""Translates a `/v1/messages` request to a chat completion request, for backends without `/v1/messages`.

Fields that neither API defines pass unchanged. Chat completions lack some of Anthropic's fields. If the answer would
mean something else without such a field, the request is refused. Otherwise, the field is left out and a note says so.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.errors import BadRequest
from gateway.wire.json_fields import NULL, decoded, missing
from gateway.wire.messages.blocks import WHY_CHAT, GivenMessage, Message, messages
from gateway.wire.messages.losses import Losses

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
NOTHING = (b"null", b"false", b"[]", b"{}")
CACHE_CONTROL = b'"cache_control"'
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
    messages: list[GivenMessage] = []
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    tools: list[_OfferedTool] | None = None
    tool_choice: _OfferedChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None


_knobs = msgspec.json.Decoder(_MessageKnobs)


class ChatRequest(NamedTuple):
    """A translated request. `has_choice` says whether the request has a `tool_choice`."""

    body: bytes
    messages: list[Message]
    has_choice: bool


def chat_body(
    body: bytes, losses: Losses, model: str = "", room_tokens: int = 0, *, extended: bool = False
) -> ChatRequest:
    """Translate the request. Raises `BadRequest` for features that chat completions lack.

    With `extended`, the backend's chat completions take `thinking`, `thinking_blocks` and `cache_control`.

    A given `model` replaces the name of the client's model. A given `room_tokens` replaces the client's `max_tokens`.
    """
    fields = {name: value for name, value in _object.decode(body).items() if bytes(value) != NULL}
    for name, remedy in REFUSED.items():
        if name in fields and bytes(fields[name]) not in NOTHING:
            raise untranslatable(name, remedy)
    for name in LEFT_OUT:
        if name in fields and bytes(fields[name]) not in NOTHING:
            losses.add(name)
    if CACHE_CONTROL in body and not extended:
        losses.add("cache_control")
    knobs = decoded(_knobs, body)
    turns = messages(fields.get("system"), knobs.messages, losses, extended=extended)
    if not turns:
        raise missing("messages")
    written: dict[str, Any] = {
        "messages": turns,
        **_stops(knobs),
        **_tools(knobs, losses, extended),
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
    return ChatRequest(_encode({**unchanged, **written}), turns, "tool_choice" in written)


def untranslatable(param: str, remedy: str) -> BadRequest:
    return BadRequest(
        f"Unsupported parameter: chat completions have no '{param}'. {remedy} {WHY_CHAT}",
        param=param,
        code="unsupported_parameter",
    )


def _stops(knobs: _MessageKnobs) -> dict[str, Any]:
    return {"stop": knobs.stop_sequences} if knobs.stop_sequences else {}


def _tools(knobs: _MessageKnobs, losses: Losses, extended: bool) -> dict[str, Any]:
    if not knobs.tools:
        return {}
    functions = [_function(tool, place, extended) for place, tool in enumerate(knobs.tools)]
    for name in TOOL_FIELDS:
        if any(getattr(tool, name) is not UNSET for tool in knobs.tools):
            losses.add(f"tools.{name}")
    choice = knobs.tool_choice
    extra: dict[str, Any] = {}
    if choice is not None:
        extra["tool_choice"] = _choice(choice)
        if choice.disable_parallel_tool_use:
            extra["parallel_tool_calls"] = False
    return {"tools": functions, **extra}


def _function(tool: _OfferedTool, place: int, extended: bool) -> dict[str, Any]:
    if tool.type not in (None, "custom"):
        raise BadRequest(
            f"Unsupported value: 'tools[{place}].type' is {tool.type!r}, and the tools of chat completions are "
            "functions. Describe it as a tool with an 'input_schema' and answer its calls yourself, or use a model "
            f"whose backend has /v1/messages. {WHY_CHAT}",
            param=f"tools[{place}].type",
            code="unsupported_value",
        )
    optional = {"description": tool.description, "parameters": tool.input_schema, "strict": tool.strict}
    given = {name: value for name, value in optional.items() if value is not UNSET and bytes(value) != NULL}
    mark = {"cache_control": tool.cache_control} if extended and tool.cache_control is not UNSET else {}
    return {"type": "function", "function": {"name": tool.name, **given}, **mark}


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
