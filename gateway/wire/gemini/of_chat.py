"""Translates a chat completion request to a `generateContent` request of the Gemini API.

Fields that neither API defines pass unchanged, such as `safetySettings` or `cachedContent`. If the answer would mean
something else without a field that the API lacks, the request is refused. Otherwise, the field is left out and a note
says so.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from gateway.errors import BadRequest
from gateway.wire.chat.request import ChatFields, ChatRequest, ChosenTool, allowed
from gateway.wire.chat.tool_block import ChatTool, ToolBlock
from gateway.wire.gemini.contents import GEMINI, contents_of, note_mark
from gateway.wire.json_fields import NULL, decoded
from gateway.wire.messages.losses import Losses
from gateway.wire.unknown_fields import note_unknown

_encode = msgspec.json.Encoder().encode
REFUSED = {
    "audio": "Leave it out.",
    "modalities": "Leave it out.",
    "functions": "Send 'tools'.",
    "function_call": "Send 'tool_choice'.",
    "web_search_options": "Leave it out.",
}
HARMLESS = {"modalities": b'["text"]'}
LEFT_OUT = (
    "logit_bias",
    "store",
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "verbosity",
    "user",
    "safety_identifier",
)
RENAMED = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
"""The fields of `generationConfig` that have another name in chat, and the same values."""
TRANSLATED = (
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "thinking",
    "service_tier",
    "generationConfig",
)
ANSWERED = frozenset((*TRANSLATED, *LEFT_OUT, *REFUSED, *RENAMED))
OWN = ("safetySettings", "cachedContent", "labels", "modelArmorConfig", "store")
"""The fields of the API itself that a client may send."""
KNOWN = ANSWERED | frozenset(OWN)
CHOICES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
JSON = "application/json"
LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}
BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
"""The numbers of tokens that Google's own chat completions use for each effort."""
BY_BUDGET = re.compile(r"gemini-(1|2)\b")
"""Models that take a budget of tokens for their reasoning, and no level."""
SIGNING = re.compile(r"gemini-(?!1|2)\d")
"""Models that refuse calls without their signatures."""
FLASH = "flash"
"""A part of the names of models that take the level `MINIMAL`."""
ALWAYS, LEAST_BUDGET = "gemini-2.5-pro", 128
"""A model that takes a budget and always reasons, and its least budget in tokens."""
_config = msgspec.json.Decoder(dict[str, Raw])


def generate_body(request: ChatRequest, model: str, losses: Losses) -> bytes:
    """Return the body of the `generateContent` request. Raises `BadRequest` for features that the API lacks."""
    given, fields = request.given, request.fields
    for name in GEMINI.fields_left_out(given, REFUSED, HARMLESS, LEFT_OUT):
        losses.add(name)
    talk = contents_of(request.messages, losses, must_be_signed=SIGNING.search(model) is not None)
    config = {**_config_of(fields, given, model, losses), **_own_config(given)}
    unchanged = {name: value for name, value in given.items() if name not in ANSWERED}
    note_unknown(unchanged, KNOWN, losses)
    written: dict[str, Any] = {
        **({"systemInstruction": {"parts": talk.instructions}} if talk.instructions else {}),
        "contents": talk.contents,
        **_tools(fields, request.tools, losses),
        **({"generationConfig": config} if config else {}),
        **_tier(fields.service_tier, losses),
    }
    return _encode({**unchanged, **written})


def _own_config(given: dict[str, Raw]) -> dict[str, Raw]:
    """Return the fields of the client's own `generationConfig`, which replace those that are translated."""
    own = given.get("generationConfig")
    config: dict[str, Raw] = {} if own is None else decoded(_config, own, "generationConfig")
    return config


def _config_of(fields: ChatFields, given: dict[str, Raw], model: str, losses: Losses) -> dict[str, Any]:
    config: dict[str, Any] = {name: given[field] for field, name in RENAMED.items() if field in given}
    if fields.limit:
        config["maxOutputTokens"] = fields.limit
    if fields.stops:
        config["stopSequences"] = fields.stops
    form = fields.response_format
    if form is not None and form.type == "json_schema" and form.json_schema is not None:
        config |= {"responseMimeType": JSON, "responseJsonSchema": form.json_schema.schema}
    elif form is not None and form.type == "json_object":
        config["responseMimeType"] = JSON
    elif form is not None and form.type != "text":
        raise GEMINI.unsupported("response_format.type", form.type, "text, json_object and json_schema")
    thinking = _thinking(fields, model, losses)
    return config | ({"thinkingConfig": thinking} if thinking else {})


def _thinking(fields: ChatFields, model: str, losses: Losses) -> dict[str, Any]:
    """Translate the effort or the budget of the reasoning. Whoever asks for reasoning gets a summary of it."""
    effort, thinking = fields.reasoning_effort, fields.reasoning
    if thinking.type == "disabled" or (effort == "none" and not thinking.type):
        return _least_thinking(model, losses)
    shown = {"includeThoughts": True}
    if thinking.budget_tokens:
        return {**shown, "thinkingBudget": thinking.budget_tokens}
    if not effort or effort == "none":
        return shown if thinking.type else {}
    if effort not in LEVELS:
        losses.add("reasoning_effort", f"{effort[:20]!r} has no counterpart")
        return shown
    if BY_BUDGET.search(model):
        return {**shown, "thinkingBudget": BUDGETS[effort]}
    level = "LOW" if effort == "minimal" and FLASH not in model else LEVELS[effort]
    if level != effort.upper():
        losses.add("reasoning_effort", f"{effort} is sent as {level.lower()}")
    return {**shown, "thinkingLevel": level}


def _least_thinking(model: str, losses: Losses) -> dict[str, Any]:
    """Switch the reasoning off, or make it short for a model that always reasons and would refuse the request."""
    if SIGNING.search(model):
        losses.add("reasoning", "the model always reasons, here at the level low")
        return {"thinkingLevel": "LOW"}
    if ALWAYS in model:
        losses.add("reasoning", f"the model always reasons, here with {LEAST_BUDGET} tokens")
        return {"thinkingBudget": LEAST_BUDGET}
    return {"thinkingBudget": 0}


def _tools(fields: ChatFields, tools: ToolBlock, losses: Losses) -> dict[str, Any]:
    tools, choice = allowed(tools, fields.tool_choice)
    names: list[str] = []
    if isinstance(choice, ChosenTool):
        names = [choice.function.name]
        choice = "required"
    if not tools:
        return {}
    if fields.parallel_tool_calls is False:
        losses.add("parallel_tool_calls", "the model may make several calls at once")
    declared = tools.translated("gemini", _declarations, losses)
    translated: dict[str, Any] = {"tools": [{"functionDeclarations": declared}]}
    if choice is None:
        return translated
    if choice not in CHOICES:
        raise BadRequest(
            f"Invalid value for 'tool_choice': {choice!r}. Supported: {', '.join(CHOICES)}, or a function.",
            param="tool_choice",
            code="invalid_value",
        )
    calling = {"mode": CHOICES[choice]} | ({"allowedFunctionNames": names} if names else {})
    return {**translated, "toolConfig": {"functionCallingConfig": calling}}


def _declarations(tools: Sequence[ChatTool], losses: Losses) -> list[dict[str, Any]]:
    declared = []
    for place, tool in enumerate(tools):
        if tool.type != "function":
            raise GEMINI.unsupported(f"tools[{place}].type", tool.type, "functions")
        function = tool.function
        note_mark(tool.cache_control, losses)
        if function.strict is not UNSET and bytes(function.strict) == b"true":
            losses.add("tools.strict")
        schema = {"description": function.description, "parametersJsonSchema": function.parameters}
        kept = {name: value for name, value in schema.items() if value is not UNSET and bytes(value) != NULL}
        declared.append({"name": function.name, **kept})
    return declared


def _tier(tier: str | None, losses: Losses) -> dict[str, Any]:
    if tier in ("flex", "priority"):
        return {"serviceTier": tier}
    if tier and tier not in ("auto", "default"):
        losses.add("service_tier")
    return {}
