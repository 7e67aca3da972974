"""Reads text, finish reason and usage of a response for the records, and converts them to chat's terms."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from gateway.ports import Answer, ToolCall
from gateway.wire.chat.completion import CompletionFault, loose_json, read_fault, text_of, tokens_of
from gateway.wire.loose_objects import object_of, objects_of
from gateway.wire.responses.answer import exchange_id
from gateway.wire.responses.build import FINISHED

FINISH = {reason: finish for finish, reason in FINISHED.items()}
STORED = "response"
"""The key under which `Answer.extra` stores the response's JSON."""
MARK = b'"response'
"""Bytes in the field `object` of every response. The first event of every stream also contains these bytes."""
_raws = msgspec.json.Decoder(dict[str, Raw])


class ResponseEvent(Struct):
    """The fields of an event that the gateway reads."""

    type: str = ""
    delta: str = ""
    response: dict[str, Any] | None = None

    @property
    def fault(self) -> CompletionFault:
        return read_fault((self.response or {}).get("error")) or CompletionFault()


def event_of(data: bytes) -> ResponseEvent:
    """Decode an event. Returns an empty event if the bytes are not a JSON object."""
    fields = _object_in(data)
    response = fields.get("response")
    return ResponseEvent(
        text_of(fields.get("type")), text_of(fields.get("delta")), response if isinstance(response, dict) else None
    )


def read_body(body: bytes) -> Answer | None:
    """Return the answer in a body, or None if the body is not a response."""
    response = _object_in(body)
    return _read(response, body) if response.get("object") == "response" else None


def read_events(events: Iterable[bytes]) -> Answer | None:
    """Return the answer in a stream. The last event has the whole response. If that event is missing, only the text is
    read."""
    last: dict[str, Any] | None = None
    last_event = b""
    texts: list[str] = []
    for data in events:
        event = event_of(data)
        if event.response is not None:
            last, last_event = event.response, data
        if event.type == "response.output_text.delta":
            texts.append(event.delta)
    if last is None:
        return None
    if last.get("status") in ("in_progress", "queued"):
        return Answer("".join(texts))
    answer = _read(last, _response_in(last_event))
    return answer if answer.text else replace(answer, text="".join(texts))


def _response_in(event: bytes) -> bytes:
    """Return the bytes of the response in an event. Returns b"" if only Python's lenient parser could read the
    event."""
    try:
        return bytes(_raws.decode(event)["response"])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b""


def _read(response: dict[str, Any], whole: bytes) -> Answer:
    usage = object_of(response.get("usage"))
    return Answer(
        _text(response),
        _finish(response),
        _tokens(usage, "input_tokens"),
        _tokens(usage, "output_tokens"),
        _stored(response, whole),
        _tokens(object_of(usage.get("input_tokens_details")), "cached_tokens"),
        _tokens(object_of(usage.get("output_tokens_details")), "reasoning_tokens"),
        _calls(response),
    )


def _calls(response: dict[str, Any]) -> tuple[ToolCall, ...]:
    items = (item for item in objects_of(response.get("output")) if item.get("type") == "function_call")
    return tuple(ToolCall(text_of(item.get("name")), text_of(item.get("arguments"))) for item in items)


def _text(response: dict[str, Any]) -> str:
    parts = [
        part
        for item in objects_of(response.get("output"))
        if item.get("type") == "message"
        for part in objects_of(item.get("content"))
    ]
    return "".join(text_of(part.get("text")) or text_of(part.get("refusal")) for part in parts)


def _stored(response: dict[str, Any], whole: bytes) -> dict[str, str]:
    """Return the response's JSON, which is stored for later requests. Return an empty dict if the response is not the
    gateway's own or must not be stored. The JSON stays undecoded, because it may contain numbers of any size."""
    ours = exchange_id(text_of(response.get("id"))) and response.get("store") is not False
    return {STORED: whole.decode("utf-8", "replace")} if ours and whole else {}


def _finish(response: dict[str, Any]) -> str:
    status = text_of(response.get("status"))
    if status == "completed":
        calls = any(item.get("type") == "function_call" for item in objects_of(response.get("output")))
        return "tool_calls" if calls else "stop"
    reason = text_of(object_of(response.get("incomplete_details")).get("reason"))
    return FINISH.get(reason, status)


def _tokens(fields: dict[str, Any], name: str) -> int:
    tokens = tokens_of(fields.get(name))
    return -1 if tokens is None else tokens


def _object_in(data: bytes) -> dict[str, Any]:
    return object_of(loose_json(data))
