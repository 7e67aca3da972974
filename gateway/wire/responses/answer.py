"""Translates a chat completion to a `/v1/responses` answer, as a whole body or as a stream, piece by piece."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from gateway.ask import Ask
from gateway.errors import RequestError
from gateway.wire.chat.completion import ChoicePart, MessagePart, ReportedUsage
from gateway.wire.chat.faults import whole_answer
from gateway.wire.chat.fold import ChunkFold
from gateway.wire.responses.build import Builder
from gateway.wire.responses.output import Event
from gateway.wire.responses.search import ShownSearch

ID = "resp_"
# request settings that a response repeats, with their defaults
SETTINGS: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "auto",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


_object = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode


def head_of(exchange_id: str, ask: Ask, model: str, created_s: int) -> dict[str, Any]:
    """Build a response without output. The response's id contains the exchange's id, which shows that the gateway made
    the response."""
    request = {name: value for name, value in _object.decode(ask.raw).items() if bytes(value) != b"null"}
    settings = {name: request.get(name, unsaid) for name, unsaid in SETTINGS.items()}
    about = {"id": response_id(exchange_id), "object": "response", "created_at": created_s, "status": "in_progress"}
    nothing_yet: dict[str, Any] = {"error": None, "incomplete_details": None, "output": [], "usage": None}
    # the input already contains the earlier turns, so the id of the earlier response was removed
    settings["previous_response_id"] = ask.previous or None
    return {**about, "model": model, **nothing_yet, **settings}


def response_id(exchange_id: str) -> str:
    return ID + exchange_id.replace("-", "_")


def exchange_id(response_id: str) -> str:
    """Read the exchange's id from a response's id. Returns "" if the gateway did not make the response."""
    inner = response_id.removeprefix(ID)
    return inner.replace("_", "-", 1) if response_id.startswith(ID + "fw_") else ""


def whole(body: bytes, head: Mapping[str, Any], search: ShownSearch | None = None) -> bytes:
    """Translate a chat completion to a response. If `search` is given, this file search is the response's first output
    item.

    Raises `BackendFailed` if the body is not a chat completion.
    """
    completion, first, part = whole_answer(body)
    builder = Builder(head, search)
    for _ in (*builder.searched(), *builder.add(part, first.token_logprobs, whole=True)):
        pass  # of the events, only the last is used
    *_, (_, last) = builder.end(first.finish_reason or "stop", usage_of(completion.usage))
    return _encode(last["response"])


class Translator(ChunkFold):
    """Translates the stream of a chat completion to the stream of a response.

    If the stream breaks off, the last event is `response.failed`.
    """

    def __init__(self, head: Mapping[str, Any], search: ShownSearch | None = None) -> None:
        super().__init__()
        self._builder = Builder(head, search)
        self._sequence = 0

    def fail(self, error: RequestError) -> bytes:
        begin = self._begin()
        self.over, self.failure = True, error
        return begin + self._framed([self._builder.failed("server_error", error.message)])

    def _begin(self) -> bytes:
        return b"" if self._sequence else self._framed(self._builder.begin())

    def _add(self, part: MessagePart, choice: ChoicePart) -> bytes:
        return self._framed(self._builder.add(part, choice.token_logprobs))

    def _ended(self) -> bytes:
        self.over = True
        begin = self._begin()
        return begin + self._framed(self._builder.end(self._finish or "stop", usage_of(self._usage)))

    def _framed(self, events: Iterable[Event]) -> bytes:
        framed, self._sequence = framed_events(events, self._sequence)
        return framed


def framed_events(events: Iterable[Event], first: int) -> tuple[bytes, int]:
    """Encode events, numbered from `first`. Return the bytes and the number of the next event."""
    framed = bytearray()
    for type, fields in events:
        data = _encode({"type": type, "sequence_number": first, **fields})
        framed += b"event: " + type.encode() + b"\ndata: " + data + b"\n\n"
        first += 1
    return bytes(framed), first


def usage_of(usage: ReportedUsage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage.cached or 0, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": prompt + completion,
    }
