"""Reads the stream of a chat completion for translations to other APIs, chunk by chunk."""

from abc import ABC, abstractmethod

from gateway.errors import BackendFailed, RequestError
from gateway.wire.chat.completion import ChoicePart, Completion, MessagePart, ReportedUsage, read_completion
from gateway.wire.chat.faults import MARK as FAULT
from gateway.wire.chat.faults import fault_of, raised
from gateway.wire.sse import data_in

DONE = b"[DONE]"
NO_USAGE = ReportedUsage()


class ChunkFold(ABC):
    """Folds the chunks of a stream into the events of another API.

    `feed` translates a piece, which must hold whole events. If the stream breaks off, `failure` has the reason.
    """

    def __init__(self) -> None:
        self.failure: RequestError | None = None
        self.over = False
        self.unreadable = 0
        """The number of events that were skipped because they were not JSON objects."""
        self._finish = ""
        self._usage: ReportedUsage | None = None

    def feed(self, piece: bytes) -> bytes:
        frames = bytearray()
        try:
            for data in data_in(piece):
                if not self.over:
                    frames += self._event(data)
        except RequestError as error:
            frames += self.fail(error)
        return bytes(frames)

    def end(self) -> bytes:
        """Translate the end of the backend's stream. A stream without its end mark and without a finish reason has
        broken off.
        """
        if self.over:
            return b""
        if not self._finish:
            return self.fail(BackendFailed("The backend ended its stream without its end mark.", code="stream_cut"))
        return self._ended()

    @abstractmethod
    def fail(self, error: RequestError) -> bytes:
        """Translate the error that broke off the backend's stream, and set `over` and `failure`."""

    @abstractmethod
    def _begin(self) -> bytes:
        """Return the first events, or b"" if they were returned before."""

    @abstractmethod
    def _add(self, part: MessagePart, choice: ChoicePart) -> bytes:
        """Translate the newly arrived part of the message."""

    @abstractmethod
    def _ended(self) -> bytes:
        """Return the last events, and set `over`."""

    def _read(self, chunk: Completion, data: bytes) -> None:
        """Note what the translation needs of a chunk beside its message."""
        if chunk.usage is not None and chunk.usage != NO_USAGE:
            self._usage = chunk.usage

    def _event(self, data: bytes) -> bytes:
        if data.startswith(DONE):
            return self._ended()
        chunk = read_completion(data)
        if chunk is None:
            self.unreadable += 1
            return b""
        self._read(chunk, data)
        frames = self._begin() + self._choice(chunk)
        fault = fault_of(data) if FAULT in data else None
        return frames if fault is None else frames + self.fail(raised(fault))

    def _choice(self, chunk: Completion) -> bytes:
        choice = chunk.first
        if choice is None:
            return b""
        self._finish = choice.finish_reason or self._finish
        part = choice.message_part
        return self._add(part, choice) if part is not None else b""
