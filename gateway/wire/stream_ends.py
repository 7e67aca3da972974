"""Detects how a stream starts (with content or an error) and whether the stream has its end mark."""

import re
from typing import NamedTuple

from gateway.ask import Endpoint
from gateway.wire.chat.completion import CompletionFault, loose_json, read_completion, read_fault
from gateway.wire.chat.faults import MARK, fault_of
from gateway.wire.messages import error_form
from gateway.wire.messages.read import STOP
from gateway.wire.responses.read import event_of
from gateway.wire.sse import SseEvent, events

DONE = b"[DONE]"
PING = b"ping"
MARKS = {Endpoint.RESPONSES: b"data:", Endpoint.MESSAGES: STOP.encode()}
"""For each endpoint, bytes that occur in every piece with the end mark. Finding `DONE` takes half as long as finding
`[DONE]`."""
OVER = frozenset({b"error", *(b"response." + how for how in (b"completed", b"incomplete", b"failed", b"cancelled"))})
"""The types of the events that end a response's stream."""
_OVER = re.compile(rb"[\" ](?:error|response\.(?:completed|incomplete|failed|cancelled))\b")
FAILED = b"response.failed"


def mark_of(endpoint: Endpoint) -> bytes:
    """Return bytes that occur in every piece with the end mark.

    Searching a piece for these bytes takes a hundredth of the time of reading the piece's events.
    """
    return MARKS.get(endpoint, b"DONE")


def end_at(piece: bytes, endpoint: Endpoint) -> int:
    """Return the position of the event that ends the stream, or -1 if no event does. `piece` must hold whole events."""
    if endpoint is Endpoint.RESPONSES:
        if _OVER.search(piece) is None:
            return -1
        return next((event.start for event in events(piece) if _type(event) in OVER), -1)
    if endpoint is Endpoint.MESSAGES:
        return next((event.start for event in events(piece) if _type(event) == MARKS[endpoint]), -1)
    return next((event.start for event in events(piece) if event.data.strip() == DONE), -1)


def fault_in(piece: bytes, endpoint: Endpoint) -> CompletionFault | None:
    """Return the error that a piece reports, or None. `piece` must hold whole events."""
    if b"error" not in piece:
        return None
    return next((fault for event in events(piece) if (fault := _fault(event, endpoint)) is not None), None)


class StreamStart(NamedTuple):
    """How a stream starts: with an error, with chunks that have no content yet, or with content."""

    fault: CompletionFault | None = None
    has_chunk: bool = False
    has_content: bool = False


def start_of(piece: bytes, endpoint: Endpoint) -> StreamStart:
    """Classify the start of a piece. Events that are not JSON are skipped, because they only keep the stream alive."""
    has_chunk = False
    for event in events(piece):
        fault = _fault(event, endpoint)
        if fault is not None:
            return StreamStart(fault, has_chunk)
        if endpoint is Endpoint.MESSAGES:
            kind = _type(event)
            if kind.startswith((b"content_block", b"message_delta", MARKS[endpoint])):
                return StreamStart(None, has_chunk=True, has_content=True)
            has_chunk |= kind != PING
            continue
        chunk = read_completion(event.data)
        if chunk is None:
            continue
        has_chunk = True
        choices = chunk.choices or ()
        if endpoint is Endpoint.RESPONSES or any(choice.has_content or choice.finish_reason for choice in choices):
            return StreamStart(None, has_chunk, has_content=True)
    return StreamStart(None, has_chunk)


def _fault(event: SseEvent, endpoint: Endpoint) -> CompletionFault | None:
    data = event.data
    if endpoint is Endpoint.MESSAGES:
        return error_form.fault_in_event(data) if MARK in data and _type(event) == b"error" else None
    if endpoint is Endpoint.RESPONSES and FAILED in data and _type(event) == FAILED:
        return event_of(data).fault
    if MARK in data and (fault := fault_of(data)) is not None:
        return fault
    if event.name == b"error":
        return read_fault(loose_json(data)) or CompletionFault(data.decode("utf-8", "replace"))
    return None


def _type(event: SseEvent) -> bytes:
    return event.name or event_of(event.data).type.encode()
