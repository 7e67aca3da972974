"""What a response's bytes say, for the records: its text, its end and its usage, in the words of chat."""

from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from gateway.ports import Answer
from gateway.wire.responses.answer import exchange_id
from gateway.wire.responses.build import FINISHED

FINISH = {reason: finish for finish, reason in FINISHED.items()}
STORED = "response"
"""Under which name a stored response's JSON is in `Answer.extra`."""
MARK = b'"response'
"""In every response, whose `object` it is, and in the first event of its stream, which holds one."""


class _AnsweredPart(Struct):
    text: str = ""
    refusal: str = ""


class _AnsweredItem(Struct):
    type: str = ""
    content: list[_AnsweredPart] | None = None


class _AnsweredUsage(Struct):
    input_tokens: int = -1
    output_tokens: int = -1


class _IncompleteDetails(Struct):
    reason: str | None = None


class _AnsweredResponse(Struct):
    id: str = ""
    object: str = ""
    store: bool | None = None
    status: str = ""
    output: list[_AnsweredItem] = []
    usage: _AnsweredUsage | None = None
    incomplete_details: _IncompleteDetails | None = None


class _Event(Struct):
    type: str = ""
    response: Raw = Raw(b"")
    delta: str = ""


_response = msgspec.json.Decoder(_AnsweredResponse)
_event = msgspec.json.Decoder(_Event)


def read_body(body: bytes) -> Answer | None:
    """None for bytes that are no response."""
    try:
        response = _response.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return _read(response, body) if response.object == "response" else None


def read_events(events: Iterable[bytes]) -> Answer | None:
    """The last event holds the whole response; of a stream that broke off, the text is what there was of it."""
    last = Raw(b"")
    said: list[str] = []
    for data in events:
        try:
            event = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # an event whose `delta` is no text, or of another kind of stream
        last = event.response or last
        if event.type == "response.output_text.delta":
            said.append(event.delta)
    try:
        response = _response.decode(last)
    except msgspec.DecodeError:
        return None
    return Answer("".join(said)) if response.status == "in_progress" else _read(response, bytes(last))


def _read(response: _AnsweredResponse, whole: bytes) -> Answer:
    parts = [part for item in response.output if item.type == "message" for part in item.content or ()]
    usage = response.usage or _AnsweredUsage()
    text = "".join(part.text or part.refusal for part in parts)
    return Answer(text, _finish(response), usage.input_tokens, usage.output_tokens, _kept(response, whole))


def _kept(response: _AnsweredResponse, whole: bytes) -> dict[str, str]:
    """A response that the gateway itself must be able to give again, as text: its JSON may hold any number."""
    wanted = exchange_id(response.id) and response.store is not False
    return {STORED: whole.decode("utf-8", "replace")} if wanted else {}


def _finish(response: _AnsweredResponse) -> str:
    if response.status == "completed":
        return "tool_calls" if any(item.type == "function_call" for item in response.output) else "stop"
    reason = response.incomplete_details.reason if response.incomplete_details else None
    return FINISH.get(reason or "", response.status)
