"""Translates a `/v1/responses` request to a chat completion request, for backends without `/v1/responses`.

Fields that neither API defines pass unchanged. If chat completions lack a field, the request is refused, and the error
names the field and a remedy. No field is dropped silently.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.errors import BadRequest
from gateway.mcp_offer import McpOffer
from gateway.wire.json_fields import NULL, decoded, missing
from gateway.wire.mcp.tools import NAME as MCP
from gateway.wire.responses.items import WHY_CHAT, messages
from gateway.wire.responses.search import NAME, RESULTS, choice_after
from gateway.wire.responses.tools import choice, functions, offered

_object = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode

RESEND = "Send the earlier input and output items in 'input' instead."
REFUSED = {
    "previous_response_id": RESEND,
    "conversation": RESEND,
    "background": "Leave it out and wait for the answer, or stream it.",
    "background_options": "Leave it out and wait for the answer, or stream it.",
    "context_management": "Leave it out; the gateway drops the oldest turns itself if a window is too small.",
    "prompt": "Name a template of this gateway, or send 'instructions' and 'input'.",
    "image": "Leave it out.",
    "access_programs": "Leave it out.",
    # fields of other endpoints, which are mistakes here
    "messages": "Here it is called 'input'.",
    "max_tokens": "Here it is called 'max_output_tokens'.",
    "max_completion_tokens": "Here it is called 'max_output_tokens'.",
    "response_format": "Here it is called 'text.format'.",
    "functions": "Here they are 'tools' of type 'function'.",
    "function_call": "Here it is called 'tool_choice'.",
    "n": "A response is one answer; send several requests.",
}
TRANSLATED = ("input", "instructions", "max_output_tokens", "text", "tools", "tool_choice", "parallel_tool_calls")
KNOBS = ("reasoning", "include", "top_logprobs", "stream_options")
# without effect in a chat completion; the stage `fit` does the work of `truncation`
SAID_BACK = ("metadata", "store", "truncation", "max_tool_calls")
ANSWERED = frozenset((*TRANSLATED, *KNOBS, *SAID_BACK))
"""The fields that this module translates or the gateway itself handles. Every other field passes unchanged."""
NOTHING = (b"null", b"false", b"[]", b"{}")
LOGPROBS = "message.output_text.logprobs"
INCLUDED = (LOGPROBS, RESULTS)


class _TextFormat(Struct):
    type: str = "text"
    name: str = ""
    schema: dict[str, Raw] = {}
    strict: bool | None = None
    description: str | None = None


class _TextFields(Struct):
    format: _TextFormat | None = None
    verbosity: Raw = Raw(b"null")


class _ReasoningFields(Struct):
    effort: Raw = Raw(b"null")
    summary: str | None = None
    generate_summary: str | None = None
    context: str | None = None
    mode: str | None = None


class _ResponseKnobs(Struct):
    text: _TextFields | None = None
    reasoning: _ReasoningFields | None = None
    include: list[str] | None = None
    top_logprobs: int | None = None
    stream: bool | None = None


_knobs = msgspec.json.Decoder(_ResponseKnobs)


def chat_body(body: bytes, *, searched: bool = False, offer: McpOffer | None = None) -> bytes:
    """Return the body of the chat request. `searched` says whether the messages contain results of the tool
    `file_search`. The tools of `offer` are added as functions.

    The caller adds the maximum answer length, because the name of that field depends on the backend. Raises
    `BadRequest` for fields that chat completions lack.
    """
    fields = _object.decode(body)
    for name, remedy in REFUSED.items():
        if name in fields and bytes(fields[name]) not in NOTHING:
            raise _no_prompt() if name == "prompt" and bytes(fields[name])[:1] != b"{" else untranslatable(name, remedy)
    fields = {name: value for name, value in fields.items() if bytes(value) != NULL}
    knobs = decoded(_knobs, body)
    unchanged = {name: value for name, value in fields.items() if name not in ANSWERED and name not in REFUSED}
    turns = messages(fields.get("instructions"), fields.get("input"))
    if not turns:
        raise missing("input")
    written: dict[str, Any] = {
        "messages": turns,
        **_tools(fields, searched, offer),
        **_format(knobs.text),
        **_reasoning(knobs.reasoning),
        **_logprobs(knobs),
    }
    if knobs.stream:
        # the last event of the stream then holds the usage
        written["stream_options"] = {"include_usage": True}
    return _encode({**unchanged, **written})


def left_out(raw: bytes) -> tuple[str, ...]:
    """Return the values of `include` that are ignored.

    Chat completions cannot provide the data that these values request, and clients do not depend on this data.
    """
    return tuple([name for name in decoded(_knobs, raw).include or () if name not in INCLUDED])


def _no_prompt() -> BadRequest:
    what = "Invalid value for 'prompt': it must be an object with the id of a template. Send a text as 'input'."
    return BadRequest(what, param="prompt", code="invalid_value")


def untranslatable(param: str, remedy: str) -> BadRequest:
    return BadRequest(
        f"Unsupported parameter: chat completions have no '{param}'. {remedy} {WHY_CHAT}",
        param=param,
        code="unsupported_parameter",
    )


def _tools(fields: Mapping[str, Raw], searched: bool, offer: McpOffer | None) -> dict[str, Any]:
    done = (*((NAME,) if searched else ()), *((MCP,) if offer is not None else ()))
    tools = functions(fields.get("tools"), done)
    given = choice_after(fields.get("tool_choice")) if searched else fields.get("tool_choice")
    chosen = choice(given, offer)
    tools += offered(offer) if offer is not None else []
    # some backends refuse a `tool_choice` without tools
    if not tools:
        return {}
    extra = {} if chosen is None else {"tool_choice": chosen}
    if "parallel_tool_calls" in fields:
        extra["parallel_tool_calls"] = fields["parallel_tool_calls"]
    return {"tools": tools, **extra}


def _format(text: _TextFields | None) -> dict[str, Any]:
    if text is None:
        return {}
    extra = {} if bytes(text.verbosity) == b"null" else {"verbosity": text.verbosity}
    form = text.format
    if form is None or form.type == "text":
        return extra
    if form.type == "json_object":
        return {**extra, "response_format": {"type": "json_object"}}
    if form.type != "json_schema":
        raise untranslatable("text.format.type", "Use 'text', 'json_object' or 'json_schema'.")
    schema: dict[str, Any] = {"name": form.name, "schema": form.schema}
    if form.strict is not None:
        schema["strict"] = form.strict
    if form.description is not None:
        schema["description"] = form.description
    return {**extra, "response_format": {"type": "json_schema", "json_schema": schema}}


def _reasoning(options: _ReasoningFields | None) -> dict[str, Any]:
    if options is None:
        return {}
    for name, value in (("summary", options.summary), ("generate_summary", options.generate_summary)):
        # "auto" allows any summary, even the reasoning itself
        if value not in (None, "auto"):
            raise untranslatable(
                f"reasoning.{name}", "Use 'auto': if the backend shows its reasoning, it is returned unchanged."
            )
    if options.context not in (None, "auto") or options.mode not in (None, "standard"):
        raise untranslatable("reasoning", "Leave out all but 'effort'.")
    return {} if bytes(options.effort) == b"null" else {"reasoning_effort": options.effort}


def _logprobs(knobs: _ResponseKnobs) -> dict[str, Any]:
    if not knobs.top_logprobs and LOGPROBS not in (knobs.include or ()):
        return {}
    return {"logprobs": True} | ({"top_logprobs": knobs.top_logprobs} if knobs.top_logprobs else {})
