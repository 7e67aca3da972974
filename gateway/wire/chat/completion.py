"""Reads a chat completion, or a chunk of its stream, in any form that backends send.

Answers, records and translations all use this reader. Well-typed JSON is decoded in one step. Otherwise, the fields are
read one by one, and unreadable fields are skipped.
"""

import json
import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gateway.wire.json_fields import whole

TokenCount = Annotated[int, Meta(ge=0, le=2**53)]
THOUGHTS = ("thinking", "reasoning", "reasoning_text", "summary_text")
"""The types of content parts that hold reasoning."""
ERROR = "error"
NO_REASON = "no reason was given"


class CalledFunction(Struct):
    """A function's name and arguments. In a chunk, each field has only the newly arrived part."""

    name: str | None = None
    arguments: str | None = None


class CallPart(Struct):
    """A tool call. A chunk has only the newly arrived part of the call."""

    index: int | None = None
    id: str | None = None
    function: CalledFunction | None = None


class MessagePart(Struct):
    """A message. A chunk has only the newly arrived part of the message."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPart] | None = None
    function_call: CalledFunction | None = None
    """The message's only call. Older servers use this field instead of `tool_calls`."""
    thinking_blocks: list[Any] | None = None
    """Blocks of Anthropic's API with the signatures of the reasoning. Some backends send them beside the reasoning."""

    @property
    def thought(self) -> str:
        return self.reasoning_content or self.reasoning or ""

    @property
    def calls(self) -> list[CallPart]:
        if self.tool_calls or self.function_call is None:
            return self.tool_calls or []
        return [CallPart(index=0, function=self.function_call)]


class TokenLogprobs(Struct):
    content: list[Any] | None = None


class CompletionFault(Struct):
    """An error that a backend reports inside an answer."""

    message: str | None = None
    code: str | int | None = None
    type: str | None = None
    param: str | None = None


class ChoicePart(Struct):
    """One choice. A completion has `message`, or `text` at the legacy endpoint; a chunk has `delta`."""

    index: int | None = None
    message: MessagePart | None = None
    delta: MessagePart | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: TokenLogprobs | None = None
    error: CompletionFault | str | None = None

    @property
    def message_part(self) -> MessagePart | None:
        return self.delta or self.message

    @property
    def words(self) -> str:
        part = self.delta or self.message
        return (self.text if part is None else part.content) or ""

    @property
    def has_content(self) -> bool:
        part = self.delta or self.message
        return bool(self.words or (part is not None and (part.thought or part.refusal or part.calls)))

    @property
    def token_logprobs(self) -> list[Any]:
        return (self.logprobs.content if self.logprobs else None) or []


class TokenDetails(Struct):
    cached_tokens: TokenCount | None = None
    reasoning_tokens: TokenCount | None = None


class ReportedUsage(Struct):
    """The token counts of a prompt and its answer. A count that the backend did not report is None."""

    prompt_tokens: TokenCount | None = None
    completion_tokens: TokenCount | None = None
    prompt_tokens_details: TokenDetails | None = None
    completion_tokens_details: TokenDetails | None = None
    prompt_cache_hit_tokens: TokenCount | None = None

    @property
    def cached(self) -> int | None:
        details = self.prompt_tokens_details
        return self.prompt_cache_hit_tokens if details is None else details.cached_tokens

    @property
    def reasoning(self) -> int | None:
        details = self.completion_tokens_details
        return None if details is None else details.reasoning_tokens


class Completion(Struct):
    """A chat completion, a legacy completion, or a chunk of one of the two."""

    choices: list[ChoicePart] | None = None
    usage: ReportedUsage | None = None
    error: CompletionFault | str | None = None

    @property
    def first(self) -> ChoicePart | None:
        """The first choice whose index is 0 or missing. If there is none, the first choice in the list, or None for an
        empty list."""
        choices = self.choices
        if not choices:
            return None
        first = choices[0]
        return first if not first.index else next((choice for choice in choices if not choice.index), first)

    @property
    def fault(self) -> CompletionFault | None:
        """The error that the backend reports, or None. If a choice has content, only the finish reason `error` counts
        as an error."""
        ended = next((choice for choice in self.choices or () if choice.finish_reason == ERROR), None)
        error = self.error or (ended.error if ended else None)
        if ended is None and (not error or any(choice.has_content for choice in self.choices or ())):
            return None
        return CompletionFault(error) if isinstance(error, str) else error or CompletionFault()


_completion = msgspec.json.Decoder(Completion)
_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def read_completion(data: bytes) -> Completion | None:
    """Decode a completion or a chunk. Returns None if the bytes are not a JSON object."""
    try:
        return _completion.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = loose_json(data)
    return _completion_of(fields) if isinstance(fields, dict) else None


def loose_json(data: bytes) -> Any:
    """Parse JSON. Also accepts NaN, a byte order mark, lone surrogates and invalid UTF-8. Returns None for bytes that
    are not JSON."""
    try:
        return _any.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _writable(json.loads(data.decode("utf-8", "replace").removeprefix("\ufeff")))
    except (ValueError, RecursionError):
        return None


def _writable(value: Any) -> Any:
    """Replace values that JSON does not allow. NaN and infinity become null, and a lone surrogate becomes U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_writable(each) for each in value]
    if isinstance(value, dict):
        return {_writable(name): _writable(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


# each function below reads one kind of object, field by field


def _completion_of(fields: dict[str, Any]) -> Completion:
    choices = [_choice(choice) for choice in _objects(fields.get("choices"))]
    usage = fields.get("usage")
    return Completion(
        choices=choices,
        usage=_usage(usage) if isinstance(usage, dict) else None,
        error=read_fault(fields.get("error")),
    )


def _choice(fields: dict[str, Any]) -> ChoicePart:
    logprobs = fields.get("logprobs")
    return ChoicePart(
        index=_number(fields.get("index")),
        message=_message(fields.get("message")),
        delta=_message(fields.get("delta")),
        text=_text(fields.get("text")),
        finish_reason=_text(fields.get("finish_reason")),
        logprobs=TokenLogprobs(_list(logprobs.get("content"))) if isinstance(logprobs, dict) else None,
        error=read_fault(fields.get("error")),
    )


def _message(fields: Any) -> MessagePart | None:
    if not isinstance(fields, dict):
        return None
    content, thought = _content(fields.get("content"))
    other = "".join(_content(fields.get("reasoning")))
    return MessagePart(
        content=content or None,
        reasoning_content="".join(_content(fields.get("reasoning_content"))) or thought or None,
        reasoning=other or None,
        refusal=_text(fields.get("refusal")),
        tool_calls=[_call(call) for call in _objects(fields.get("tool_calls"))],
        function_call=_function(fields.get("function_call")),
        thinking_blocks=_list(fields.get("thinking_blocks")),
    )


def _content(value: Any, deeper: int = 3) -> tuple[str, str]:
    """Return the text and the reasoning of a field `content`. The field holds a string, a part, or a list of parts,
    which may be nested."""
    if isinstance(value, str):
        return _text(value) or "", ""
    if isinstance(value, list) and deeper:
        texts = [_content(part, deeper - 1) for part in value]
        return "".join(text for text, _ in texts), "".join(thought for _, thought in texts)
    if not isinstance(value, dict):
        return "", ""
    kind = value.get("type")
    if kind in THOUGHTS:
        return "", "".join(_content(value.get(kind) or value.get("text"), deeper - 1)) if deeper else ""
    return _text(value.get("text")) or "", ""


def _call(fields: dict[str, Any]) -> CallPart:
    id = fields.get("id")
    return CallPart(
        index=_number(fields.get("index")),
        id=str(id) if isinstance(id, int) and not isinstance(id, bool) else _text(id),
        function=_function(fields.get("function")) or _function(fields),
    )


def _function(fields: Any) -> CalledFunction | None:
    if not isinstance(fields, dict):
        return None
    arguments = fields.get("arguments")
    if isinstance(arguments, dict | list):
        arguments = _encode(arguments).decode()
    return CalledFunction(_text(fields.get("name")), _text(arguments))


def _usage(fields: dict[str, Any]) -> ReportedUsage:
    return ReportedUsage(
        prompt_tokens=tokens_of(fields.get("prompt_tokens")),
        completion_tokens=tokens_of(fields.get("completion_tokens")),
        prompt_tokens_details=_details(fields.get("prompt_tokens_details")),
        completion_tokens_details=_details(fields.get("completion_tokens_details")),
        prompt_cache_hit_tokens=tokens_of(fields.get("prompt_cache_hit_tokens")),
    )


def _details(fields: Any) -> TokenDetails | None:
    if not isinstance(fields, dict):
        return None
    return TokenDetails(tokens_of(fields.get("cached_tokens")), tokens_of(fields.get("reasoning_tokens")))


def read_fault(value: Any) -> CompletionFault | None:
    """Read a field `error`, which holds an object, a list, a string or a number. Returns None if the field is empty."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict) and value:
        message = next((text for name in ("message", "msg", "detail") if (text := _text(value.get(name)))), None)
        return CompletionFault(message, _code(value.get("code")), _text(value.get("type")), _text(value.get("param")))
    if isinstance(value, str):
        return CompletionFault(_text(value)) if value else None
    # a number or `true` reports a failure without details
    return CompletionFault() if value else None


def _code(value: Any) -> str | int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list. A single object is treated as a list of one."""
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def text_of(value: Any) -> str:
    """Return the value if it is a string, otherwise ""."""
    return _text(value) or ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None


def _number(value: Any) -> int | None:
    if isinstance(value, str):
        return whole(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def tokens_of(value: Any) -> int | None:
    """Read a token count. Some servers send a float or a string. Returns None for a negative number and for any other
    value."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= 2**53 else None
