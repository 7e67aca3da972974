"""Translates a chat completion to a `/v1/responses` answer, as a whole body or as a stream, piece by piece."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from gateway.ask import Ask
from gateway.errors import BackendFailed, RequestError
from gateway.wire.chat.completion import Completion, ReportedUsage, read_completion
from gateway.wire.chat.faults import MARK as FAULT
from gateway.wire.chat.faults import fault_of, raised, whole_answer
from gateway.wire.responses.build import Builder
from gateway.wire.responses.output import Event
from gateway.wire.responses.search import ShownSearch
from gateway.wire.sse import data_in

DONE = b"[DONE]"
NO_USAGE = ReportedUsage()
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
    *_, (_, last) = builder.end(first.finish_reason or "stop", _usage(completion.usage))
    return _encode(last["response"])


class Translator:
    """Translates the stream of a chat completion to the stream of a response.

    `feed` translates a piece, which must hold whole events. If the stream breaks off, the last event is
    `response.failed`, and `failure` has the reason.
    """

    def __init__(self, head: Mapping[str, Any], search: ShownSearch | None = None) -> None:
        self.failure: RequestError | None = None
        self.over = False
        self.unreadable = 0
        """The number of events that were skipped because they were not JSON objects."""
        self._builder = Builder(head, search)
        self._sequence = 0
        self._finish = ""
        self._usage: ReportedUsage | None = None

    def feed(self, piece: bytes) -> bytes:
        frames = bytearray()
        try:
            for data in data_in(piece):
                if not self.over:
                    frames += self._begun()
                    frames += self._event(data)
        except RequestError as error:
            frames += self.fail(error)
        return bytes(frames)

    def end(self) -> bytes:
        """Translate the end of the backend's stream. If the stream had no end mark, the last event is
        `response.failed`."""
        if self.over:
            return b""
        if not self._finish:
            return self.fail(BackendFailed("The backend ended its stream without its end mark.", code="stream_cut"))
        return self._ended()

    def fail(self, error: RequestError) -> bytes:
        """Translate the error that broke off the backend's stream."""
        begin = self._begun()
        self.over, self.failure = True, error
        return begin + self._framed([self._builder.failed("server_error", error.message)])

    def _event(self, data: bytes) -> bytes:
        if data.startswith(DONE):
            return self._ended()
        chunk = read_completion(data)
        if chunk is None:
            self.unreadable += 1
            return b""
        if chunk.usage is not None and chunk.usage != NO_USAGE:
            self._usage = chunk.usage
        frames = self._choice(chunk)
        fault = fault_of(data) if FAULT in data else None
        return frames if fault is None else frames + self.fail(raised(fault))

    def _choice(self, chunk: Completion) -> bytes:
        choice = chunk.first
        if choice is None:
            return b""
        self._finish = choice.finish_reason or self._finish
        part = choice.message_part
        return self._framed(self._builder.add(part, choice.token_logprobs)) if part is not None else b""

    def _begun(self) -> bytes:
        return b"" if self._sequence else self._framed(self._builder.begin())

    def _ended(self) -> bytes:
        self.over = True
        return self._framed(self._builder.end(self._finish or "stop", _usage(self._usage)))

    def _framed(self, events: Iterable[Event]) -> bytes:
        framed = bytearray()
        for type, fields in events:
            data = _encode({"type": type, "sequence_number": self._sequence, **fields})
            framed += b"event: " + type.encode() + b"\ndata: " + data + b"\n\n"
            self._sequence += 1
        return bytes(framed)


def _usage(usage: ReportedUsage | None) -> dict[str, Any] | None:
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
