"""Cuts a stream into whole server-sent events and reads their data.

Only this module cuts streams. All other code receives pieces that hold whole events.
"""

import re
from collections.abc import Iterator

from gateway.errors import BackendFailed

LONGEST_EVENT = 32 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
_COMMENTS = re.compile(rb"(?:[\r\n]|\xef\xbb\xbf|:[^\r\n]*(?:\r\n|\n|\r))*")
"""Matches empty lines, comments and byte order marks before an event. These bytes can be sent without waiting."""
_END = re.compile(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)")
_ENDS = (b"\n\n", b"\n\r\n", b"\n\r", b"\r\r", b"\r\r\n")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_LONGEST_COMMENT = 4096


class EventCutter:
    """Cuts a stream into pieces of whole events, without changing the bytes.

    A piece that ends with the end of an event is not copied. An incomplete event is held back until the rest of it
    arrives.
    """

    def __init__(self) -> None:
        self.waiting: list[bytes] = []
        """The bytes of an event whose end has not arrived."""
        self._size = 0

    def feed(self, piece: bytes) -> bytes:
        """Return the events that are complete now, or b"" if there are none. Raises `BackendFailed` if an event is too
        long."""
        waiting = self.waiting
        if not waiting and piece.endswith((b"\n\n", b"\r\n\r\n")):
            return piece
        stop = _last_end(waiting[-1] if waiting else b"", piece)
        if stop < 0:
            return self._wait(piece)
        waiting.append(piece[:stop])
        events = b"".join(waiting)
        rest = piece[stop:]
        self.waiting, self._size = ([rest], len(rest)) if rest else ([], 0)
        return events + self._comments() if rest.startswith(b":") else events

    def rest(self) -> bytes:
        """Return the incomplete event at the end of the stream, or b""."""
        rest = b"".join(self.waiting)
        self.waiting, self._size = [], 0
        return rest

    def _wait(self, piece: bytes) -> bytes:
        if not piece:
            return b""
        # pieces of a few bytes are joined, so that the last piece always holds the whole tail
        if self.waiting and len(self.waiting[-1]) < _LONGEST_COMMENT:
            self.waiting[-1] += piece
        else:
            self.waiting.append(piece)
        self._size += len(piece)
        if self._size > LONGEST_EVENT:
            raise BackendFailed(f"The backend sent an event of more than {LONGEST_EVENT // (1024 * 1024)} MB.")
        return self._comments()

    def _comments(self) -> bytes:
        """Return the waiting bytes if they are complete comments, or b"". Comments keep the connection alive, so they
        do not wait for an event."""
        if len(self.waiting) != 1 or not self.waiting[0].endswith((b"\n", b"\r")):
            return b""
        match = _COMMENTS.fullmatch(self.waiting[0])
        return self.rest() if match else b""


class SseEvent:
    """One event in a piece. Its bytes are at the positions from `start` to `stop` in the piece."""

    __slots__ = ("data", "name", "start", "stop")

    def __init__(self, name: bytes, data: bytes, start: int, stop: int) -> None:
        self.name, self.data, self.start, self.stop = name, data, start, stop


def events(piece: bytes) -> Iterator[SseEvent]:
    """Yield the events that have data. `piece` must hold whole events.

    The bytes from an event's `start` to its `stop` exclude the comments and empty lines before the event.
    """
    position, size = 0, len(piece)
    while position < size:
        start = position
        if piece[position] not in b"de":
            match = _COMMENTS.match(piece, position)
            start = match.end() if match else position
        end = _END.search(piece, start)
        position = end.end() if end else size
        name, data = _fields(piece[start : end.start() if end else size])
        if data.strip():
            yield SseEvent(name, data, start, position)


def data_in(piece: bytes) -> list[bytes]:
    """Return the data of each event. Events without data are skipped."""
    # most pieces are one event with one line of data
    if piece.startswith(b"data: {") and piece.find(b"\n") == len(piece) - 2 and b"\r" not in piece:
        return [piece[6:-2]]
    if BOM in piece:
        return [event.data for event in events(piece)]
    if b"\r" in piece:
        piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    payloads = []
    for event in piece.split(b"\n\n"):
        is_one_line = event.startswith(b"data: ") and b"\n" not in event
        data = event[6:] if is_one_line else _fields(event)[1]
        if data and not data.isspace():
            payloads.append(data)
    return payloads


def _fields(event: bytes) -> tuple[bytes, bytes]:
    """Return the name and data of an event. Several data lines are joined with line breaks."""
    name = b""
    data = []
    for line in _LINE_END.split(event) if b"\r" in event else event.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line == b"data":
            data.append(b"")
        elif line.startswith(b"event:"):
            name = line[6:].strip()
    return name, data[0] if len(data) == 1 else b"\n".join(data)


def _last_end(waiting: bytes, piece: bytes) -> int:
    """Return the position in `piece` at which the last complete event ends, or -1 if no event ends there. `waiting` has
    the bytes before the piece."""
    text = waiting[-1:] + piece
    if b"\r" not in text:
        stop = text.rfind(b"\n\n") + 2
        return stop - len(waiting[-1:]) if stop > 1 else -1
    stop = max([text.rfind(end) + len(end) for end in _ENDS if end in text], default=-1)
    return stop - len(waiting[-1:]) if stop > 0 else -1
