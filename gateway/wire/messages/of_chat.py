"""Translates a chat completion request to a `/v1/messages` request, for backends with Anthropic's API.

Fields that neither API defines pass unchanged. Anthropic's API lacks some fields of chat completions. If the answer
would mean something else without such a field, the request is refused. Otherwise, the field is left out and a note says
so.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.errors import BadRequest
from gateway.wire.chat.request import NO_SCHEMA, ChatFields, ChosenTool, allowed, read_request
from gateway.wire.chat.tool_block import ChatTool, ToolBlock
from gateway.wire.json_fields import NULL
from gateway.wire.messages.chat_parts import ANTHROPIC, conversation
from gateway.wire.messages.losses import Losses
from gateway.wire.unknown_fields import note_unknown

_encode = msgspec.json.Encoder().encode

REFUSED = {
    "n": "Send several requests.",
    "logprobs": "Leave it out.",
    "top_logprobs": "Leave it out.",
    "audio": "Leave it out.",
    "modalities": "Leave it out.",
    "functions": "Send 'tools'.",
    "function_call": "Send 'tool_choice'.",
    "web_search_options": "Leave it out.",
}
HARMLESS = {"n": b"1", "logprobs": b"false", "top_logprobs": b"0", "modalities": b'["text"]'}
"""Unsupported fields are accepted with these values, which have no effect."""
LEFT_OUT = (
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "seed",
    "store",
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "verbosity",
)
TRANSLATED = (
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "user",
    "safety_identifier",
    "service_tier",
    "modalities",
)
ANSWERED = frozenset((*TRANSLATED, *LEFT_OUT, *REFUSED))
OWN = (
    "model",
    "top_p",
    "top_k",
    "thinking",
    "system",
    "stop_sequences",
    "container",
    "context_management",
    "mcp_servers",
    "output_config",
    "output_format",
    "inference_geo",
    "cache_control",
    "speed",
)
"""The fields of Anthropic's API that a client may send."""
KNOWN = ANSWERED | frozenset(OWN)
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
TIERS = {"auto": "auto", "default": "standard_only"}
CHOICES = {"auto": "auto", "required": "any", "none": "none"}


def messages_body(body: bytes, answer_tokens: int, losses: Losses) -> bytes:
    """Return the body of the messages request. Raises `BadRequest` for features that Anthropic's API lacks.

    Anthropic's API requires a maximum answer length. If the client sets none, `answer_tokens` is used.
    """
    request = read_request(body)
    given, fields = request.given, request.fields
    for name in ANTHROPIC.fields_left_out(given, REFUSED, HARMLESS, LEFT_OUT):
        losses.add(name)
    talk = conversation(request.messages, losses)
    limit = fields.limit
    if not limit:
        losses.add("max_tokens", f"not set, so {answer_tokens} of the backend's answer_tokens")
    thinking: dict[str, Any] = {}
    if talk.lacks_thinking and fields.thinking is not UNSET:
        losses.add("thinking", "the calls in the history came without their thinking_blocks")
        thinking["thinking"] = {"type": "disabled"}
    unchanged = {name: value for name, value in given.items() if name not in ANSWERED}
    note_unknown(unchanged, KNOWN, losses)
    written: dict[str, Any] = {
        "max_tokens": limit or answer_tokens,
        **({"system": _system(talk.instructions)} if talk.instructions else {}),
        "messages": talk.messages,
        **({"stream": True} if fields.stream else {}),
        **_stops(fields),
        **_temperature(fields, losses),
        **_tools(fields, request.tools, losses),
        **_output(fields, losses),
        **_about(fields, losses),
        **thinking,
    }
    return _encode({**unchanged, **written})


def _system(instructions: list[dict[str, Any]]) -> Any:
    only = instructions[0] if len(instructions) == 1 else {}
    return only["text"] if set(only) == {"type", "text"} else instructions


def _stops(fields: ChatFields) -> dict[str, Any]:
    return {"stop_sequences": fields.stops} if fields.stops else {}


def _temperature(fields: ChatFields, losses: Losses) -> dict[str, Any]:
    if fields.temperature is None:
        return {}
    if fields.temperature > 1:
        losses.add("temperature", "1, the highest that Anthropic's API takes")
    return {"temperature": min(fields.temperature, 1.0)}


def _tools(fields: ChatFields, tools: ToolBlock, losses: Losses) -> dict[str, Any]:
    tools, choice = allowed(tools, fields.tool_choice)
    if not tools:
        return {}
    translated: dict[str, Any] = {"tools": tools.translated("messages", _translated_tools, losses)}
    chosen = _choice(choice)
    if fields.parallel_tool_calls is False:
        chosen = {**(chosen or {"type": "auto"}), "disable_parallel_tool_use": True}
    return translated | ({"tool_choice": chosen} if chosen else {})


def _translated_tools(tools: Sequence[ChatTool], _losses: Losses) -> list[dict[str, Any]]:
    return [_tool(tool, place) for place, tool in enumerate(tools)]


def _tool(tool: ChatTool, place: int) -> dict[str, Any]:
    if tool.type != "function":
        raise BadRequest(
            f"Unsupported value: 'tools[{place}].type' is {tool.type!r}. Describe it as a function. {ANTHROPIC.why}",
            param=f"tools[{place}].type",
            code="unsupported_value",
        )
    function = tool.function
    schema = NO_SCHEMA if function.parameters is UNSET or bytes(function.parameters) in (NULL, b"{}") else None
    given = {
        "description": function.description,
        "input_schema": schema or function.parameters,
        "strict": function.strict,
        "cache_control": tool.cache_control,
    }
    kept = {name: value for name, value in given.items() if value is not UNSET and bytes(value) != NULL}
    return {"name": function.name, **kept}


def _choice(choice: str | ChosenTool | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    if isinstance(choice, ChosenTool):
        return {"type": "tool", "name": choice.function.name}
    if choice not in CHOICES:
        raise BadRequest(
            f"Invalid value for 'tool_choice': {choice!r}. Supported: {', '.join(CHOICES)}, or a function.",
            param="tool_choice",
            code="invalid_value",
        )
    return {"type": CHOICES[choice]}


def _output(fields: ChatFields, losses: Losses) -> dict[str, Any]:
    config: dict[str, Any] = {}
    form = fields.response_format
    if form is not None and form.type == "json_schema" and form.json_schema is not None:
        config["format"] = {"type": "json_schema", "schema": form.json_schema.schema}
    elif form is not None and form.type != "text":
        losses.add(f"response_format {form.type}", "say in the prompt that the answer is JSON")
    effort = fields.reasoning_effort
    extra: dict[str, Any] = {}
    if effort in EFFORTS:
        config["effort"] = EFFORTS[effort]
    elif effort == "none":
        extra["thinking"] = {"type": "disabled"}
    elif effort:
        losses.add("reasoning_effort", f"{effort[:20]!r} has no counterpart")
    return extra | ({"output_config": config} if config else {})


def _about(fields: ChatFields, losses: Losses) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if user := fields.safety_identifier or fields.user:
        extra["metadata"] = {"user_id": user}
    tier = fields.service_tier
    if tier in TIERS:
        extra["service_tier"] = TIERS[tier]
    elif tier:
        losses.add("service_tier")
    return extra
