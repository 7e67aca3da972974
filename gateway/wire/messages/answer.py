"""Translates a chat completion to a `/v1/messages` answer, as a whole body or as a stream, piece by piece."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from gateway.errors import BackendFailed, RequestError
from gateway.wire.chat.completion import Completion, ReportedUsage, read_completion
from gateway.wire.chat.faults import MARK as FAULT
from gateway.wire.chat.faults import fault_of, raised, untold, whole_answer
from gateway.wire.messages.as_stream import event
from gateway.wire.messages.build import Event, MessageBuilder
from gateway.wire.sse import data_in

DONE = b"[DONE]"
NO_USAGE = ReportedUsage()
_encode = msgspec.json.Encoder().encode


class MessageHead(Struct, frozen=True):
    """The id and model of a translated message, and whether the client wants to see the model's reasoning."""

    id: str
    model: str
    shows_thinking: bool = False

    def builder(self) -> MessageBuilder:
        return MessageBuilder(self.id, self.model, shows_thinking=self.shows_thinking)


class _Stopped(Struct):
    """The stop sequence that ended a choice, or None. Only some servers, such as vLLM, report the stop sequence."""

    stop_reason: str | None = None


class _StoppedChoices(Struct):
    choices: list[_Stopped] = []


_stops = msgspec.json.Decoder(_StoppedChoices)
STOP_REASON = b'"stop_reason"'


def message_id(exchange_id: str) -> str:
    """Return the id of a translated message, which contains the exchange's id."""
    return "msg_" + exchange_id.replace("-", "_")


def whole(body: bytes, head: MessageHead) -> tuple[bytes, bool]:
    """Translate a chat completion to a message. Also returns whether the model's reasoning was left out.

    Raises `BackendFailed` if the body is not a chat completion.
    """
    completion, first, part = whole_answer(body)
    builder = head.builder()
    ended = (first.finish_reason or "stop", _stop_sequence(body), completion.usage)
    for _ in (*builder.add(part, whole=True), *builder.end(*ended)):
        pass  # a whole body has no use for events
    return _encode(builder.message(*ended)), builder.hides_thinking


class MessageTranslator:
    """Translates the stream of a chat completion to the stream of a message.

    `feed` translates a piece, which must hold whole events. If the stream breaks off, `failure` has the reason. The
    events do not report this reason, so the caller must raise `failure`.
    """

    def __init__(self, head: MessageHead) -> None:
        self.failure: RequestError | None = None
        self.over = False
        self.unreadable = 0
        """The number of events that were skipped because they were not JSON objects."""
        self._builder = head.builder()
        self._begun = False
        self._finish = ""
        self._stop_sequence: str | None = None
        self._usage: ReportedUsage | None = None

    @property
    def hides_thinking(self) -> bool:
        return self._builder.hides_thinking

    def feed(self, piece: bytes) -> bytes:
        frames = bytearray()
        try:
            for data in data_in(piece):
                if not self.over:
                    frames += self._event(data)
        except RequestError as error:
            self.fail(error)
        return bytes(frames)

    def end(self) -> bytes:
        """Translate the end of the backend's stream. If the stream had no end mark, `failure` gets the reason."""
        if self.over:
            return b""
        if not self._finish:
            return self.fail(BackendFailed("The backend ended its stream without its end mark.", code="stream_cut"))
        return self._ended()

    def fail(self, error: RequestError) -> bytes:
        """Stop translating, because the backend's stream broke off."""
        self.over, self.failure = True, untold(error)
        return b""

    def _event(self, data: bytes) -> bytes:
        if data.startswith(DONE):
            return self._ended()
        chunk = read_completion(data)
        if chunk is None:
            self.unreadable += 1
            return b""
        if chunk.usage is not None and chunk.usage != NO_USAGE:
            self._usage = chunk.usage
        if STOP_REASON in data:
            self._stop_sequence = _stop_sequence(data) or self._stop_sequence
        frames = self._begin() + self._choice(chunk)
        if FAULT in data and (fault := fault_of(data)) is not None:
            self.fail(raised(fault))
        return frames

    def _choice(self, chunk: Completion) -> bytes:
        choice = chunk.first
        if choice is None:
            return b""
        self._finish = choice.finish_reason or self._finish
        part = choice.message_part
        return _framed(self._builder.add(part)) if part is not None else b""

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return _framed(self._builder.begin())

    def _ended(self) -> bytes:
        self.over = True
        begin = self._begin()
        return begin + _framed(self._builder.end(self._finish or "stop", self._stop_sequence, self._usage))


def _framed(events: Iterable[Event]) -> bytes:
    return b"".join([event(kind, fields) for kind, fields in events])


def _stop_sequence(data: bytes) -> str | None:
    """Return the stop sequence that ended the answer, or None if the server does not report one."""
    if STOP_REASON not in data:
        return None
    try:
        choices: list[Any] = _stops.decode(data).choices
    except msgspec.DecodeError:
        return None  # a number is the id of the token that ended the answer
    return choices[0].stop_reason if choices else None
