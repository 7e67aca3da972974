"""Translates a chat completion to a `/v1/messages` answer, as a whole body or as a stream, piece by piece."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from gateway.errors import RequestError
from gateway.wire.chat.completion import ChoicePart, Completion, MessagePart
from gateway.wire.chat.faults import untold, whole_answer
from gateway.wire.chat.fold import ChunkFold
from gateway.wire.messages.as_stream import event
from gateway.wire.messages.build import Event, MessageBuilder

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


class MessageTranslator(ChunkFold):
    """Translates the stream of a chat completion to the stream of a message.

    If the stream breaks off, the events do not report the reason, so the caller must raise `failure`.
    """

    def __init__(self, head: MessageHead) -> None:
        super().__init__()
        self._builder = head.builder()
        self._begun = False
        self._stop_sequence: str | None = None

    @property
    def hides_thinking(self) -> bool:
        return self._builder.hides_thinking

    def fail(self, error: RequestError) -> bytes:
        self.over, self.failure = True, untold(error)
        return b""

    def _read(self, chunk: Completion, data: bytes) -> None:
        super()._read(chunk, data)
        if STOP_REASON in data:
            self._stop_sequence = _stop_sequence(data) or self._stop_sequence

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return _framed(self._builder.begin())

    def _add(self, part: MessagePart, choice: ChoicePart) -> bytes:
        return _framed(self._builder.add(part))

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
