"""Converts OpenAI's requests for an engine that runs in the gateway's process.

The engine (llama.cpp) accepts nearly the same JSON. This module validates requests, makes them safe to run, and reports
errors in OpenAI's wording.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from gateway.ask import Endpoint
from gateway.errors import BadRequest
from gateway.exchange import Note
from gateway.wire.chat.completion import text_of
from gateway.wire.engine.answer_format import check_choice, check_format, check_schema
from gateway.wire.engine.enum_trie import with_tries
from gateway.wire.engine.forced_call import allowed_functions, call_schema, is_open, with_functions
from gateway.wire.json_fields import NULL, decoded, missing, not_json

# only these fields reach the engine: its own fields, such as `id_slot` and `n_predict`, could stall other requests
SHARED = ("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "stop", "logit_bias")
CHAT = ("messages", "tools", "tool_choice", "parallel_tool_calls", "response_format")

_fields = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode
Penalty = Annotated[float, Meta(ge=-2, le=2)]
SCHEMAS = ("parameters", "schema")
ASSISTANT = "assistant"
"""The role of the messages that may have tool calls instead of content."""
_BREAK = "\N{ZERO WIDTH SPACE}"
MOST = 2**31 - 1  # the engine counts in signed 32-bit integers
_RANDOM_SEED = 0xFFFFFFFF  # the engine's value for a random seed


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _RequestedSampling(Struct):
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


class _ChatKnobs(_RequestedSampling):
    max_tokens: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


class _CompletionKnobs(_RequestedSampling):
    prompt: str | list[str | int | list[int]] | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=MOST)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None


_chat_knobs = msgspec.json.Decoder(_ChatKnobs)
_completion_knobs = msgspec.json.Decoder(_CompletionKnobs)


class Limits(Struct, frozen=True):
    """What one engine supports, and its limits."""

    choices: int = 4
    """The number of sequences that the engine can generate at the same time."""
    answer_tokens: int = 512
    """The maximum length of an answer in tokens, if the client sets no limit."""
    has_grammar: bool = False
    """Whether the engine can enforce a JSON schema. A forced tool call is enforced by a schema, too."""
    reads_tools: bool = True
    """Whether the model's chat template supports tools."""


class EngineAsk(Struct, frozen=True):
    """A request for the engine. The engine always streams its answer, because only a stream can be stopped."""

    endpoint: Endpoint
    body: bytes
    stream: bool = False
    include_usage: bool = False
    choices: int = 1
    """The number of choices for each prompt (`n`)."""
    prompts: int = 1
    answer_tokens: int = 0
    top_logprobs: int | None = None
    """The number of alternatives to report for each token, or None if the client did not request log probabilities."""
    is_call: bool = False
    """Whether the answer must be the JSON of a tool call."""
    notes: tuple[Note, ...] = ()
    """Notes about the parts of the request that the engine ignores."""


class Neutraliser:
    """Breaks up the names of the model's control tokens in the client's texts.

    The engine parses control tokens in the rendered conversation. A user's `<|im_end|>` would therefore end the user's
    turn, and could open a system turn. An invisible character inside the token turns the token into plain text.
    """

    def __init__(self, control_tokens: Sequence[str]) -> None:
        words = sorted({token for token in control_tokens if len(token) > 1}, key=len, reverse=True)
        self._words = re.compile("|".join(map(re.escape, words))) if words else None

    def text(self, text: str) -> str:
        if self._words is None:
            return text
        return self._words.sub(lambda match: match[0][0] + _BREAK + match[0][1:], text)

    def tree(self, value: Any) -> Any:
        """Apply `text` to every string of a JSON value, also to the names of members."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.tree(item) for key, item in value.items()}
        return value


def ask(body: bytes, endpoint: Endpoint, limits: Limits, neutral: Neutraliser) -> EngineAsk:
    """Convert a client's request. Raises `BadRequest` for features that the engine lacks."""
    try:
        return _chat(body, limits, neutral) if endpoint is Endpoint.CHAT else _completion(body, limits)
    except RecursionError as error:
        raise not_json(error) from None


def _chat(body: bytes, limits: Limits, neutral: Neutraliser) -> EngineAsk:
    knobs: _ChatKnobs = decoded(_chat_knobs, body)
    if knobs.top_logprobs is not None and not knobs.logprobs:
        raise BadRequest("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    given = {name: value for name, value in _fields.decode(body).items() if bytes(value) != NULL}
    fields = {name: given[name] for name in (*SHARED, *CHAT) if name in given}
    messages = msgspec.json.decode(given.get("messages", Raw(b"[]")))
    fields["messages"] = Raw(_encode([_message(place, each, neutral) for place, each in enumerate(messages)]))
    odd: tuple[str, ...] = ()
    if "response_format" in fields:
        odd = check_format(fields["response_format"])
        form = with_tries(_without_nulls(msgspec.json.decode(fields["response_format"])))
        fields["response_format"] = Raw(_encode(form))
    if "tools" in fields:
        fields["tools"] = Raw(_encode(neutral.tree(_without_nulls(msgspec.json.decode(fields["tools"])))))
    is_call, notes = _with_tools(fields, limits)
    if odd and not is_call:
        notes = (*notes, Note("response-format", "not enforced", f"this engine's grammar lacks {', '.join(odd)}"))
    top = (knobs.top_logprobs or 0) if knobs.logprobs else None
    if top is not None:
        fields["logprobs"] = Raw(b"true")
        # the engine gives no log probabilities for 0 alternatives, so one is requested and removed later
        fields["top_logprobs"] = Raw(_encode(max(top, 1)))
    room = knobs.max_completion_tokens or knobs.max_tokens or limits.answer_tokens
    return replace(_engine_ask(Endpoint.CHAT, fields, knobs, limits, room, top, 1), is_call=is_call, notes=notes)


def _with_tools(fields: dict[str, Raw], limits: Limits) -> tuple[bool, tuple[Note, ...]]:
    """Convert the tools to a form that the engine supports.

    Returns whether the answer must be a tool call, and notes about the parts of the request that are not enforced.
    Raises `BadRequest` if the engine cannot enforce a required call.
    """
    choice = msgspec.json.decode(fields.pop("tool_choice", Raw(NULL)))
    tools = msgspec.json.decode(fields.get("tools", Raw(NULL)))
    if not limits.has_grammar:
        check_choice(choice, tools)
    if is_open(choice):
        return False, _open_tools(fields, choice, tools, limits)
    functions = allowed_functions(choice, tools)
    odd: set[str] = set()
    for function in functions:
        strict = bool(function.get("strict"))
        odd.update(check_schema(function.get("parameters"), "tools.function.parameters", strict=strict))
    schema = call_schema(functions)
    check_schema(schema, "tools")
    form = {"type": "json_schema", "json_schema": {"name": "call", "schema": with_tries(schema)}}
    fields["response_format"] = Raw(_encode(form))
    messages = with_functions(msgspec.json.decode(fields["messages"]), functions)
    fields["messages"] = Raw(_encode(messages))
    fields.pop("tools", None)
    fields.pop("parallel_tool_calls", None)
    lacking = Note("tools", "not enforced", f"this engine's grammar lacks {', '.join(sorted(odd))}")
    return True, (lacking,) if odd else ()


def _open_tools(fields: dict[str, Raw], choice: Any, tools: Any, limits: Limits) -> tuple[Note, ...]:
    """Convert the tools of a request that allows an answer without a call. Returns a note if the engine ignores the
    tools."""
    if isinstance(choice, dict):  # the choice allows only some of the tools
        names = {text_of(function.get("name")) for function in allowed_functions(choice, tools)}
        tools = [tool for tool in tools or () if tool["function"].get("name") in names]
        fields["tools"] = Raw(_encode(tools))
    elif choice is not None:
        fields["tool_choice"] = Raw(_encode(choice))
    if not tools or choice == "none" or limits.reads_tools:
        return ()
    return (Note("tools", "left out", "the model's chat template has no place for tools"),)


def _completion(body: bytes, limits: Limits) -> EngineAsk:
    knobs: _CompletionKnobs = decoded(_completion_knobs, body)
    for name, value in (("echo", knobs.echo), ("suffix", knobs.suffix)):
        if value:
            raise BadRequest(f"'{name}' is not supported by this model's engine. Leave it out.", param=name)
    if knobs.best_of is not None and knobs.best_of > (knobs.n or 1):
        raise BadRequest("'best_of' beyond 'n' is not supported by this model's engine.", param="best_of")
    if knobs.max_tokens == 0:
        raise BadRequest("'max_tokens' must be at least 1 for this model's engine.", param="max_tokens")
    given = {name: value for name, value in _fields.decode(body).items() if bytes(value) != NULL}
    fields = {name: given[name] for name in (*SHARED, "prompt") if name in given}
    many = isinstance(knobs.prompt, list) and not all(isinstance(part, int) for part in knobs.prompt)
    prompts = len(knobs.prompt) if many and isinstance(knobs.prompt, list) else 1
    if not knobs.prompt:
        raise BadRequest("'prompt' is empty.", param="prompt")
    if knobs.logprobs is not None:
        fields["logprobs"] = Raw(_encode(max(knobs.logprobs, 1)))
    room = knobs.max_tokens or limits.answer_tokens
    return _engine_ask(Endpoint.COMPLETION, fields, knobs, limits, room, knobs.logprobs, prompts)


def _engine_ask(
    endpoint: Endpoint,
    fields: dict[str, Raw],
    knobs: _RequestedSampling,
    limits: Limits,
    room: int,
    top: int | None,
    prompts: int,
) -> EngineAsk:
    choices = knobs.n or 1
    if knobs.stop is not None:
        # an empty stop word would end every answer at once
        words = [knobs.stop] if isinstance(knobs.stop, str) else knobs.stop
        fields["stop"] = Raw(_encode([word for word in words if word]))
    if choices > limits.choices:
        raise BadRequest(
            f"Invalid value for 'n': this model's engine makes at most {limits.choices} choices at a time.", param="n"
        )
    if choices > 1:
        fields["n"] = Raw(_encode(choices))
    if knobs.seed is not None:
        # the engine's seeds have 32 bits; the highest one means "at random"
        fields["seed"] = Raw(_encode(knobs.seed % _RANDOM_SEED))
        # a partly cached prompt is computed in other batches, which round differently; the same seed could then give
        # another answer
        fields["cache_prompt"] = Raw(b"false")
    fields["max_tokens"] = Raw(_encode(room))
    fields["stream"] = Raw(b"true")
    fields["stream_options"] = Raw(b'{"include_usage":true}')
    wants_usage = knobs.stream_options is not None and bool(knobs.stream_options.include_usage)
    return EngineAsk(endpoint, _encode(fields), bool(knobs.stream), wants_usage, choices, prompts, room, top)


def _message(place: int, message: Any, neutral: Neutraliser) -> Any:
    if not isinstance(message, dict):
        return message
    message = _without_nulls(message)
    if "content" not in message and message.get("role") != ASSISTANT:
        raise missing(f"messages[{place}].content")
    role = "system" if message.get("role") == "developer" else message.get("role")
    return {**neutral.tree(message), "role": role}


def _without_nulls(value: Any) -> Any:
    """Remove members that are null. Schemas keep such members, because null is a value in a schema."""
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: item if name in SCHEMAS else _without_nulls(item) for name, item in value.items() if item is not None}
