"""Server-sent events as they come in: bytes, cut anywhere, to the data of whole events."""

from gateway.errors import BackendFailed

LONGEST_EVENT = 32 * 1024 * 1024


class EventReader:
    """Feed it pieces; it gives back the data of each event that is complete, and holds no more than one.

    Comments, names and ids of events are passed over.
    """

    def __init__(self) -> None:
        self._line = bytearray()  # that has no end yet
        self._data: list[bytes] = []
        self._held = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Raises `BackendFailed` for an event that does not end."""
        found: list[bytes] = []
        # a CR at the end of the last piece may have been half of a line end
        if b"\n" in piece or b"\r" in piece or self._line.endswith(b"\r"):
            for line in self._lines(bytes(self._line) + piece):
                self._take(line, found)
        else:
            self._line += piece
        if self._held + len(self._line) > LONGEST_EVENT:
            raise BackendFailed(f"The backend sent an event of more than {LONGEST_EVENT // (1024 * 1024)} MB.")
        return found

    def _lines(self, text: bytes) -> list[bytes]:
        """The whole lines of a text; what follows the last of them is kept."""
        held = b"\r" if text.endswith(b"\r") else b""
        lines = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._line = bytearray(lines.pop() + held)
        return lines

    def _take(self, line: bytes, found: list[bytes]) -> None:
        if not line:
            if self._data:
                found.append(b"\n".join(self._data))
            self._data, self._held = [], 0
        elif line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
            self._held += len(line)
