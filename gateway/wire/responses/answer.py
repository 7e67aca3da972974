"""A chat completion as a response: a whole body, or its stream piece by piece."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.errors import BackendFailed, RequestError
from gateway.exchange import Ask
from gateway.wire.responses.build import Builder, ChatDelta
from gateway.wire.responses.output import Event
from gateway.wire.responses.search import ShownSearch
from gateway.wire.sse import EventReader

DONE = b"[DONE]"
ID = "resp_"
# what a response says of its request, and what it says where the request said nothing
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


class _Details(Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _ChatUsage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _ChatLogprobs(Struct):
    content: list[Raw] | None = None


class _ChatChoice(Struct):
    index: int = 0
    message: ChatDelta | None = None
    delta: ChatDelta | None = None
    finish_reason: str | None = None
    logprobs: _ChatLogprobs | None = None


class _ChatFault(Struct):
    message: str = "it gave no reason"


class _Chat(Struct):
    choices: list[_ChatChoice] = []
    usage: _ChatUsage | None = None
    error: _ChatFault | None = None


_object = msgspec.json.Decoder(dict[str, Raw])
_chat = msgspec.json.Decoder(_Chat)
_encode = msgspec.json.Encoder().encode


def head_of(exchange_id: str, ask: Ask, model: str, created_s: int) -> dict[str, Any]:
    """What a response says besides its output. Its id tells the exchange, and that the gateway gave it."""
    asked = {name: value for name, value in _object.decode(ask.raw).items() if bytes(value) != b"null"}
    settings = {name: asked.get(name, unsaid) for name, unsaid in SETTINGS.items()}
    about = {"id": response_id(exchange_id), "object": "response", "created_at": created_s, "status": "in_progress"}
    nothing_yet: dict[str, Any] = {"error": None, "incomplete_details": None, "output": [], "usage": None}
    # the turns of a response that the gateway keeps are in the input by now, and its name is not
    settings["previous_response_id"] = ask.previous or None
    return {**about, "model": model, **nothing_yet, **settings}


def response_id(exchange_id: str) -> str:
    return ID + exchange_id.replace("-", "_")


def exchange_id(response_id: str) -> str:
    """The exchange of a response that the gateway translated, or "" for an id that is not of its making."""
    inner = response_id.removeprefix(ID)
    return inner.replace("_", "-", 1) if response_id.startswith(ID + "fw_") else ""


def whole(body: bytes, head: Mapping[str, Any], search: ShownSearch | None = None) -> bytes:
    """The response of a whole chat completion, and of the search before it. Raises `BackendFailed` if it is none."""
    try:
        chat = _chat.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackendFailed("The backend's answer is not a chat completion.") from error
    first = next((choice for choice in chat.choices if choice.index == 0), None)
    if first is None or first.message is None:
        raise BackendFailed("The backend's answer holds no message.")
    builder = Builder(head, search)
    for _ in (*builder.searched(), *builder.add(first.message, _logprobs(first))):
        pass  # told to nobody
    *_, (_, last) = builder.end(first.finish_reason or "stop", _usage(chat.usage))
    return _encode(last["response"])


class Translator:
    """A chat completion's stream to a response's. Feed it pieces, cut anywhere; it holds back no whole event.

    Where the stream breaks, the last event is `response.failed`, and `failure` says why.
    """

    def __init__(self, head: Mapping[str, Any], search: ShownSearch | None = None) -> None:
        self.failure: RequestError | None = None
        self.over = False
        self._builder = Builder(head, search)
        self._reader = EventReader()
        self._sequence = 0
        self._finish = ""
        self._usage: _ChatUsage | None = None

    def feed(self, piece: bytes) -> bytes:
        told = bytearray()
        try:
            for data in self._reader.feed(piece):
                if not self.over:
                    told += self._begun()
                    told += self._event(data)
        except RequestError as error:
            told += self.fail(error)
        return bytes(told)

    def end(self) -> bytes:
        """The backend's stream has ended."""
        if self.over:
            return b""
        if not self._finish:
            return self.fail(BackendFailed("The backend ended its stream without its end mark.", code="stream_cut"))
        return self._ended()

    def fail(self, error: RequestError) -> bytes:
        """The backend's stream broke off."""
        begin = self._begun()
        self.over, self.failure = True, error
        return begin + self._told([self._builder.failed("server_error", error.message)])

    def _event(self, data: bytes) -> bytes:
        if data == DONE:
            return self._ended()
        try:
            chat = _chat.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BackendFailed("The backend's stream holds an event that is not a chat completion's.") from error
        if chat.error is not None:
            raise BackendFailed(f"The backend broke off: {chat.error.message}")
        self._usage = chat.usage or self._usage
        return b"".join(self._choice(choice) for choice in chat.choices if choice.index == 0)

    def _choice(self, choice: _ChatChoice) -> bytes:
        self._finish = choice.finish_reason or self._finish
        return self._told(self._builder.add(choice.delta, _logprobs(choice))) if choice.delta is not None else b""

    def _begun(self) -> bytes:
        return b"" if self._sequence else self._told(self._builder.begin())

    def _ended(self) -> bytes:
        self.over = True
        return self._told(self._builder.end(self._finish or "stop", _usage(self._usage)))

    def _told(self, events: Iterable[Event]) -> bytes:
        framed = bytearray()
        for type, fields in events:
            data = _encode({"type": type, "sequence_number": self._sequence, **fields})
            framed += b"event: " + type.encode() + b"\ndata: " + data + b"\n\n"
            self._sequence += 1
        return bytes(framed)


def _logprobs(choice: _ChatChoice) -> list[Any]:
    return list((choice.logprobs.content if choice.logprobs else None) or [])


def _usage(usage: _ChatUsage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    cached = (usage.prompt_tokens_details or _Details()).cached_tokens
    reasoning = (usage.completion_tokens_details or _Details()).reasoning_tokens
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": cached or 0, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning or 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
