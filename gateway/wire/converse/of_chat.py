"""Translates a chat completion request to a request of Amazon Bedrock's Converse API.

The API's own fields, such as `guardrailConfig`, pass unchanged. Other fields of no API become
`additionalModelRequestFields`. If the answer would mean something else without a field that the API lacks, the request
is refused. Otherwise, the field is left out and a note says so.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from gateway.errors import BadRequest
from gateway.wire.chat.request import NO_SCHEMA, ChatFields, ChatRequest, ChosenTool, allowed
from gateway.wire.chat.tool_block import ChatTool, ToolBlock
from gateway.wire.converse.blocks import CONVERSE, CacheMarks, talk_of
from gateway.wire.json_fields import NULL, decoded, json_text
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
LEFT_OUT = (
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "seed",
    "store",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "verbosity",
    "user",
    "safety_identifier",
)
TRANSLATED = (
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "service_tier",
    "metadata",
)
OWN = (
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "performanceConfig",
    "projectIdentifier",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
)
"""The fields of the API itself that a client may send."""
MODEL_FIELDS = "additionalModelRequestFields"
ANSWERED = frozenset((*TRANSLATED, *LEFT_OUT, *REFUSED, *OWN, MODEL_FIELDS))
OF_MODELS = ("top_k", "thinking", "anthropic_beta", "reasoning_config", "inferenceConfig", "safe_prompt", "k", "p")
"""Well-known fields that the API passes to the model unread."""
KNOWN = ANSWERED | frozenset(OF_MODELS)
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
TIERS = ("default", "flex", "priority", "reserved")
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
_VENDOR = re.compile(r"(?:[a-z-]+\.)?([a-z0-9]+)\.[a-z0-9]")
THINKING = "anthropic"
CACHING = ("anthropic", "amazon")
_model_fields = msgspec.json.Decoder(dict[str, Raw])
_metadata = msgspec.json.Decoder(dict[str, str])


def converse_body(request: ChatRequest, model: str, losses: Losses) -> bytes:
    """Return the body of the Converse request. Raises `BadRequest` for features that the API lacks."""
    given, fields = dict(request.given), request.fields
    for name in CONVERSE.fields_left_out(given, REFUSED, HARMLESS, LEFT_OUT):
        losses.add(name)
    vendor = vendor_of(model)
    if vendor not in ("", THINKING) and given.pop("thinking", None) is not None:
        losses.add("thinking", "only Claude models take it")
    marks = CacheMarks(vendor in ("", *CACHING), losses)
    talk = talk_of(request.messages, marks, losses)
    own = {name: given[name] for name in OWN if name in given}
    written: dict[str, Any] = {
        "messages": talk.messages,
        **({"system": talk.system} if talk.system else {}),
        **_inference(fields, given, losses),
        **_tools(fields, request.tools, list(talk.called), marks, losses),
        **_output(fields, losses),
        **_tier(fields.service_tier, losses),
        **_request_metadata(given, losses),
        **own,
        **_for_the_model(given, losses),
    }
    return _encode(written)


def vendor_of(model: str) -> str:
    """Return the maker's name in the id of a model, such as `us.anthropic.claude-...`, or "" for any other id."""
    found = _VENDOR.match(model.rpartition("/")[2])
    return found[1] if found else ""


def _for_the_model(given: dict[str, Raw], losses: Losses) -> dict[str, Any]:
    """Return what the API passes to the model unread: the client's own object, and fields of no API."""
    extra = {name: value for name, value in given.items() if name not in ANSWERED}
    note_unknown(extra, KNOWN, losses)
    if MODEL_FIELDS in given:
        own: dict[str, Raw] = decoded(_model_fields, given[MODEL_FIELDS], MODEL_FIELDS)
        extra |= own
    return {MODEL_FIELDS: extra} if extra else {}


def _inference(fields: ChatFields, given: dict[str, Raw], losses: Losses) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if fields.limit:
        config["maxTokens"] = fields.limit
    if fields.temperature is not None:
        if fields.temperature > 1:
            losses.add("temperature", "1, the highest that the Converse API takes")
        config["temperature"] = min(fields.temperature, 1.0)
    if "top_p" in given:
        config["topP"] = given["top_p"]
    if fields.stops:
        config["stopSequences"] = fields.stops
    return {"inferenceConfig": config} if config else {}


def _tools(
    fields: ChatFields, tools: ToolBlock, called: list[str], marks: CacheMarks, losses: Losses
) -> dict[str, Any]:
    """Translate the tools. If the history has calls, the API wants tools, even if none may be called."""
    tools, choice = allowed(tools, fields.tool_choice)
    # also where they are not sent, since wrong tools are refused
    form = f"converse {'with' if marks.are_taken else 'without'} marks"
    translated = tools.translated(form, partial(_specs, are_taken=marks.are_taken), losses)
    specs: Any = translated if tools else []
    if choice == "none" and not called:
        return {}
    if choice == "none" and specs:
        losses.add("tool_choice", "none: the model may call a tool, since the history has calls")
    if not specs and called:
        losses.add("tools", "described by their names alone, since the history has calls")
        specs = [{"toolSpec": {"name": name, "inputSchema": {"json": NO_SCHEMA}}} for name in called]
    if not specs:
        return {}
    if fields.parallel_tool_calls is False:
        losses.add("parallel_tool_calls", "the model may make several calls at once")
    chosen = _choice(choice)
    return {"toolConfig": {"tools": specs} | ({"toolChoice": chosen} if chosen else {})}


def _specs(tools: Sequence[ChatTool], losses: Losses, *, are_taken: bool) -> list[dict[str, Any]]:
    marks = CacheMarks(are_taken, losses)
    return [spec for place, tool in enumerate(tools) for spec in _spec(tool, place, marks)]


def _spec(tool: ChatTool, place: int, marks: CacheMarks) -> list[dict[str, Any]]:
    if tool.type != "function":
        raise CONVERSE.unsupported(f"tools[{place}].type", tool.type, "functions")
    function = tool.function
    has_schema = function.parameters is not UNSET and bytes(function.parameters) not in (NULL, b"{}")
    spec: dict[str, Any] = {"name": function.name}
    if function.description is not UNSET and bytes(function.description) not in (NULL, b'""'):
        spec["description"] = function.description
    spec["inputSchema"] = {"json": function.parameters if has_schema else NO_SCHEMA}
    if function.strict is not UNSET and bytes(function.strict) != NULL:
        spec["strict"] = function.strict
    return [{"toolSpec": spec}, *marks.after(tool.cache_control)]


def _choice(choice: str | ChosenTool | None) -> dict[str, Any] | None:
    if isinstance(choice, ChosenTool):
        return {"tool": {"name": choice.function.name}}
    if choice in (None, "none"):
        return None
    if choice not in ("auto", "required"):
        raise BadRequest(
            f"Invalid value for 'tool_choice': {choice!r}. Supported: auto, required, none, or a function.",
            param="tool_choice",
            code="invalid_value",
        )
    return {"auto": {}} if choice == "auto" else {"any": {}}


def _output(fields: ChatFields, losses: Losses) -> dict[str, Any]:
    config: dict[str, Any] = {}
    form, effort = fields.response_format, fields.reasoning_effort
    if form is not None and form.type == "json_schema" and form.json_schema is not None:
        answer = form.json_schema
        schema = {"name": answer.name, "schema": json_text(answer.schema)}
        about = {"description": answer.description} if answer.description else {}
        config["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": {**schema, **about}}}
    elif form is not None and form.type != "text":
        losses.add(f"response_format {form.type[:40]}", "say in the prompt that the answer is JSON")
    if effort in EFFORTS:
        config["effort"] = EFFORTS[effort]
    elif effort:
        losses.add("reasoning_effort", f"{effort[:20]!r} has no counterpart")
    return {"outputConfig": config} if config else {}


def _tier(tier: str | None, losses: Losses) -> dict[str, Any]:
    if tier in TIERS:
        return {"serviceTier": {"type": tier}}
    if tier and tier != "auto":
        losses.add("service_tier")
    return {}


def _request_metadata(given: dict[str, Raw], losses: Losses) -> dict[str, Any]:
    if "metadata" not in given:
        return {}
    entries = decoded(_metadata, given["metadata"], "metadata")
    taken = {name: value for name, value in entries.items() if name and _taken(name) and _taken(value)}
    if len(taken) < len(entries):
        losses.add("metadata", "entries with characters that Bedrock does not take")
    return {"requestMetadata": taken} if taken else {}


def _taken(text: str) -> bool:
    return _METADATA.fullmatch(text) is not None
