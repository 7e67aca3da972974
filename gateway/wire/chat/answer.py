"""Reads text, finish reason and usage from a reply: a JSON body or a whole SSE stream.

Replies are read in the background task that writes records, so no request waits for the reading.
"""

from collections.abc import Iterable

from gateway.ports import Answer, ToolCall
from gateway.wire.chat.completion import CallPart, Completion, ReportedUsage, read_completion
from gateway.wire.messages import read as messages_read
from gateway.wire.responses import read as responses_read
from gateway.wire.sse import data_in
from gateway.wire.unpack import unpacked

EVENT_STREAM = "text/event-stream"


def read_answer(body: bytes, content_type: str, content_encoding: str = "") -> Answer:
    """Read the answer in a completion, a response, or a message of Anthropic's API.

    Of several choices, only the first is read. Any other body, such as HTML or an embedding, gives an empty answer.
    """
    plain = unpacked(body, content_encoding)
    if content_type.strip().lower().startswith(EVENT_STREAM):
        return _streamed(list(data_in(plain)))
    if responses_read.MARK in plain and (response := responses_read.read_body(plain)) is not None:
        return response
    if messages_read.MARK in plain and (message := messages_read.read_body(plain)) is not None:
        return message
    completion = read_completion(plain)
    return _joined([completion] if completion else [])


def _streamed(events: list[bytes]) -> Answer:
    if events and responses_read.MARK in events[0] and (response := responses_read.read_events(events)) is not None:
        return response
    if any(messages_read.MARK in event for event in events[:2]) and (message := messages_read.read_events(events)):
        return message
    return _joined(chunk for data in events if (chunk := read_completion(data)) is not None)


def _joined(completions: Iterable[Completion]) -> Answer:
    """Join the chunks of a stream into one answer. If there are several choices, only the choice with the lowest index
    is read."""
    texts: dict[int, list[str]] = {}
    finishes: dict[int, str] = {}
    calls: dict[int, CallPieces] = {}
    usage = ReportedUsage()
    for completion in completions:
        usage = completion.usage or usage
        for place, choice in enumerate(completion.choices or ()):
            index = place if choice.index is None else choice.index
            texts.setdefault(index, []).append(choice.words)
            if choice.finish_reason:
                finishes[index] = choice.finish_reason
            if choice.message_part is not None and choice.message_part.calls:
                calls.setdefault(index, CallPieces()).add(choice.message_part.calls)
    first = min(texts, default=0)
    return Answer(
        "".join(texts.get(first, ())),
        finishes.get(first, ""),
        _tokens(usage.prompt_tokens),
        _tokens(usage.completion_tokens),
        cached_tokens=_tokens(usage.cached),
        reasoning_tokens=_tokens(usage.reasoning),
        calls=calls[first].whole() if first in calls else (),
    )


class CallPieces:
    """Joins the pieces of tool calls. A stream sends the arguments of a call in many pieces, marked with the call's
    index."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._arguments: dict[int, list[str]] = {}

    def add(self, parts: Iterable[CallPart]) -> None:
        for place, part in enumerate(parts):
            if part.function is None:
                continue
            index = place if part.index is None else part.index
            self._names[index] = part.function.name or self._names.get(index, "")
            self._arguments.setdefault(index, []).append(part.function.arguments or "")

    def whole(self) -> tuple[ToolCall, ...]:
        return tuple(ToolCall(self._names[index], "".join(self._arguments[index])) for index in sorted(self._names))


def _tokens(count: int | None) -> int:
    return -1 if count is None else count
