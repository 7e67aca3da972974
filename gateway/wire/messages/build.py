"""Builds a message of Anthropic's API from the pieces of a chat completion, and returns each step as an event.

The blocks of a message follow one another, but chat may interleave the parts of several tool calls. So only the first
call is sent as its parts arrive. Further calls, and text after a call, are sent at the end of the answer.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from gateway.wire.chat.calls import CallSorter
from gateway.wire.chat.completion import CalledFunction, CallPart, MessagePart, ReportedUsage, loose_json, text_of
from gateway.wire.loose_objects import objects_of

Event = tuple[str, dict[str, Any]]
"""An event's type and its other fields."""
STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""The stop reason for each finish reason of chat. Any other finish reason becomes `end_turn`."""
BROKEN = "INVALID_JSON"
"""If a call's arguments are not a JSON object, its input gets this field with the arguments as text. Anthropic's guide
to tools recommends this field."""
_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, Raw])


class _SpokenBlock:
    """A block of text or thinking that is still growing. `kind` is the block's type and also the name of its text
    field."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.texts: list[str] = []
        self.signature = ""
        """The signature proves to a model that it wrote the thinking. Many models have none."""

    def as_json(self) -> dict[str, Any]:
        return self.shown("".join(self.texts), self.signature)

    def shown(self, text: str, signature: str = "") -> dict[str, Any]:
        return {"type": self.kind, self.kind: text} | ({"signature": signature} if self.kind == "thinking" else {})


class _RedactedThinking:
    """A block of reasoning that is encrypted."""

    def __init__(self, data: str) -> None:
        self.data = data

    def as_json(self) -> dict[str, Any]:
        return {"type": "redacted_thinking", "data": self.data}


class _ToolUse:
    """A tool call whose arguments are still arriving."""

    def __init__(self, id: str, name: str) -> None:
        self.id, self.name = id, name
        self.texts: list[str] = []
        self.is_open = False

    def as_json(self) -> dict[str, Any]:
        return {"type": "tool_use", "id": self.id, "name": self.name, "input": input_of("".join(self.texts))}


class MessageBuilder:
    """Builds one message. `shows_thinking` says whether the client wants to see the model's reasoning."""

    def __init__(self, id: str, model: str, *, shows_thinking: bool) -> None:
        self.hides_thinking = False
        """Whether reasoning was left out because the client did not ask for it."""
        self._head = {"id": id, "type": "message", "role": "assistant", "model": model}
        self._suffix = id.removeprefix("msg_")
        self._shows_thinking = shows_thinking
        self._blocks: list[_SpokenBlock | _ToolUse | _RedactedThinking] = []
        self._speaking: _SpokenBlock | None = None
        self._sorter = CallSorter()
        self._calls: list[_ToolUse] = []
        self._after: list[tuple[str, Any]] = []
        self._refused = False
        self._is_open = False

    def begin(self) -> Iterator[Event]:
        message = {**self._head, "content": [], **_stopped(None, None), "usage": usage_of(None)}
        yield "message_start", {"message": message}
        yield "ping", {}

    def add(self, part: MessagePart, *, whole: bool = False) -> Iterator[Event]:
        """Add one piece of a message, or a `whole` message. Empty texts are skipped."""
        signed = objects_of(part.thinking_blocks)
        # a whole message has the texts of its blocks once more in its reasoning
        texts = [text_of(block.get("thinking")) for block in signed] if whole else []
        if (part.thought or signed) and not self._shows_thinking:
            self.hides_thinking |= bool(part.thought)
            signed = []
        elif part.thought and not any(texts):
            yield from self._text("thinking", part.thought)
        for place, block in enumerate(signed):
            if texts and texts[place]:
                yield from self._text("thinking", texts[place])
            yield from self._sign(block)
        if part.content:
            yield from self._text("text", part.content)
        if part.refusal:
            self._refused = True
            yield from self._text("text", part.refusal)
        for call in part.calls:
            yield from self._call(self._sorter.begin(call) if whole else self._sorter.number(call), call)

    def end(self, finish: str, stop_sequence: str | None, usage: ReportedUsage | None) -> Iterator[Event]:
        """Yield the calls and texts that were held back, close the open block, and report why the answer ended."""
        yield from self._rest()
        yield "message_delta", {"delta": self._stop(finish, stop_sequence), "usage": usage_of(usage)}
        yield "message_stop", {}

    def message(self, finish: str, stop_sequence: str | None, usage: ReportedUsage | None) -> dict[str, Any]:
        """Return the whole message. `end` must be called first."""
        content = [block.as_json() for block in self._blocks]
        return {**self._head, "content": content, **self._stop(finish, stop_sequence), "usage": usage_of(usage)}

    def _stop(self, finish: str, stop_sequence: str | None) -> dict[str, Any]:
        reason = STOPS.get(finish, "end_turn")
        if reason == "end_turn" and self._calls:
            reason = "tool_use"
        elif reason == "end_turn" and self._refused:
            reason = "refusal"
        elif reason == "end_turn" and stop_sequence is not None:
            return _stopped("stop_sequence", stop_sequence)
        return _stopped(reason, None)

    def _text(self, kind: str, text: str) -> Iterator[Event]:
        if self._calls:
            self._after.append((kind, text))
            return
        speaking = self._speaking
        if speaking is None or speaking.kind != kind:
            yield from self._close()
            speaking = self._speaking = _SpokenBlock(kind)
            yield self._open(speaking, speaking.shown(""))
        speaking.texts.append(text)
        if text:
            yield self._delta({"type": f"{kind}_delta", kind: text})

    def _sign(self, block: dict[str, Any]) -> Iterator[Event]:
        """Close the open block of thinking with its signature. A signature without thinking gets a block of its own."""
        if self._calls:
            self._after.append(("signed", block))
            return
        if block.get("type") == "redacted_thinking":
            yield from self._close()
            redacted = _RedactedThinking(text_of(block.get("data")))
            yield self._open(redacted, redacted.as_json())
            yield from self._close()
            return
        signature = text_of(block.get("signature"))
        if not signature:
            return
        if self._speaking is None or self._speaking.kind != "thinking":
            yield from self._text("thinking", "")
        assert self._speaking is not None
        self._speaking.signature = signature
        yield self._delta({"type": "signature_delta", "signature": signature})
        yield from self._close()

    def _call(self, number: int, part: CallPart) -> Iterator[Event]:
        function = part.function or CalledFunction()
        if number == len(self._calls):
            self._calls.append(_ToolUse(part.id or f"toolu_{self._suffix}_{number}", ""))
        call = self._calls[number]
        call.name = call.name or function.name or ""
        arguments = function.arguments or ""
        if arguments:
            call.texts.append(arguments)
        if number or not call.name:
            return
        if not call.is_open:
            yield from self._close()
            yield from self._opened(call)
        elif arguments:
            yield self._delta({"type": "input_json_delta", "partial_json": arguments})

    def _opened(self, call: _ToolUse) -> Iterator[Event]:
        """Open the block of a call, and send the arguments that have arrived so far."""
        call.is_open = True
        yield self._open(call, {**call.as_json(), "input": {}})
        if arguments := "".join(call.texts):
            yield self._delta({"type": "input_json_delta", "partial_json": arguments})

    def _rest(self) -> Iterator[Event]:
        for call in self._calls:
            if not call.is_open:
                yield from self._close()
                yield from self._opened(call)
        yield from self._close()
        after, self._after, calls, self._calls = self._after, [], self._calls, []
        for kind, value in after:
            yield from self._sign(value) if kind == "signed" else self._text(kind, value)
        yield from self._close()
        self._calls = calls

    def _open(self, block: _SpokenBlock | _ToolUse | _RedactedThinking, shown: dict[str, Any]) -> Event:
        self._blocks.append(block)
        self._is_open = True
        return "content_block_start", {"index": len(self._blocks) - 1, "content_block": shown}

    def _delta(self, delta: dict[str, Any]) -> Event:
        return "content_block_delta", {"index": len(self._blocks) - 1, "delta": delta}

    def _close(self) -> Iterator[Event]:
        self._speaking = None
        if self._is_open:
            self._is_open = False
            yield "content_block_stop", {"index": len(self._blocks) - 1}


def usage_of(usage: ReportedUsage | None) -> dict[str, Any]:
    """Convert chat's usage. In Anthropic's API, cached prompt tokens have a count of their own."""
    usage = usage or ReportedUsage()
    prompt, cached = usage.prompt_tokens or 0, usage.cached or 0
    counts: dict[str, Any] = {
        "input_tokens": max(0, prompt - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens or 0,
    }
    if usage.reasoning is not None:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return counts


def input_of(arguments: str) -> dict[str, Any]:
    """Return the input of a call. Arguments that are not a JSON object become the text of the field `BROKEN`."""
    if not arguments.strip():
        return {}
    value = loose_json(arguments.encode())
    return value if isinstance(value, dict) else {BROKEN: arguments}


def raw_input_of(arguments: str) -> Any:
    """Return the input of a call, as `input_of`. A JSON object stays undecoded, so that its numbers keep all their
    digits.
    """
    try:
        _object.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return input_of(arguments)
    return Raw(arguments.encode())


def _stopped(reason: str | None, sequence: str | None) -> dict[str, Any]:
    return {"stop_reason": reason, "stop_sequence": sequence}
