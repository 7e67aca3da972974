"""Reads failures that a backend reports inside an answer, even if the status is 200."""

from gateway.errors import BackendFailed, BadRequest, RequestError, StreamFailed
from gateway.wire.chat.completion import (
    ERROR,
    NO_REASON,
    ChoicePart,
    Completion,
    CompletionFault,
    MessagePart,
    loose_json,
    read_completion,
    read_fault,
)

LONGEST_REASON = 2000
MARK = b'"error"'
"""A word in the JSON of every failure: the name of a field, a type, or a finish reason."""


def fault_of(data: bytes) -> CompletionFault | None:
    """Return the failure that a completion, a chunk or an error object reports, or None if none is reported."""
    completion = read_completion(data) if MARK in data else None
    if completion is None:
        return None
    if completion.fault is not None or completion.choices:
        return completion.fault
    fields = loose_json(data)
    return read_fault(fields) if ERROR in (fields.get("object"), fields.get("type")) else None


def whole_answer(body: bytes) -> tuple[Completion, ChoicePart, MessagePart]:
    """Return a completion, its first choice, and this choice's message. Raises the failure that the body reports, or
    `BackendFailed` if the body has no message."""
    completion = read_completion(body)
    if completion is None:
        raise BackendFailed("The backend's answer is not a chat completion.")
    if (fault := fault_of(body)) is not None:
        raise raised(fault)
    first = completion.first
    if first is None or first.message_part is None:
        raise BackendFailed("The backend's answer holds no message.")
    return completion, first, first.message_part


def raised(fault: CompletionFault) -> RequestError:
    """Convert a failure to an error for the client, with the backend's message.

    A numeric code becomes the status. If the status shows that the backend rejected the request itself, the error is a
    `BadRequest`, because other backends would reject the request, too.
    """
    code = fault.code if isinstance(fault.code, int) else None
    status = code if code is not None and 400 <= code < 600 else BackendFailed.status
    text = f"The backend failed: {(fault.message or NO_REASON)[:LONGEST_REASON]}"
    kind = BadRequest if status < 500 and status not in (401, 403, 404, 408, 429) else BackendFailed
    error = kind(text, param=fault.param, code=str(fault.code) if fault.code is not None else None)
    error.status = status
    return error


def untold(error: RequestError) -> RequestError:
    """Return the error for a client that has not received the backend's own error event, because the translation leaves
    out this event."""
    return BackendFailed(error.message) if isinstance(error, StreamFailed) else error
