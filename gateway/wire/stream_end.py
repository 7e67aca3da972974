"""Finds the event that ends a stream, and the event in which a stream says that it failed."""

import re

from gateway.exchange import Endpoint
from gateway.wire.chat.completion import CompletionFault, loose_json, read_fault
from gateway.wire.chat.faults import MARK, fault_of
from gateway.wire.responses.read import event_of
from gateway.wire.sse import SseEvent, events

DONE = b"[DONE]"
MARKS = {Endpoint.RESPONSES: b"data:"}
OVER = frozenset({b"error", *(b"response." + how for how in (b"completed", b"incomplete", b"failed", b"cancelled"))})
"""The types of the events that end the stream of a response."""
_OVER = re.compile(rb"[\" ](?:error|response\.(?:completed|incomplete|failed|cancelled))\b")
FAILED = b"response.failed"


def mark_of(endpoint: Endpoint) -> bytes:
    """Bytes without which a piece cannot hold the end: looking for them costs a hundredth of reading the events."""
    return MARKS.get(endpoint, DONE)


def end_at(piece: bytes, endpoint: Endpoint) -> int:
    """Where the event that ends the stream begins in a piece of whole events; -1 if it is not there."""
    if endpoint is Endpoint.RESPONSES:
        if _OVER.search(piece) is None:
            return -1
        return next((event.start for event in events(piece) if _type(event) in OVER), -1)
    return next((event.start for event in events(piece) if event.data.strip() == DONE), -1)


def fault_in(piece: bytes, endpoint: Endpoint) -> CompletionFault | None:
    """The error that a piece of whole events reports."""
    if b"error" not in piece:
        return None
    for event in events(piece):
        if endpoint is Endpoint.RESPONSES and FAILED in event.data and _type(event) == FAILED:
            return event_of(event.data).fault
        if MARK in event.data and (fault := fault_of(event.data)) is not None:
            return fault
        if event.name == b"error":
            return read_fault(loose_json(event.data)) or CompletionFault(event.data.decode("utf-8", "replace"))
    return None


def _type(event: SseEvent) -> bytes:
    return event.name or event_of(event.data).type.encode()
