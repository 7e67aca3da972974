"""Server-sent events as they come in: bytes, cut anywhere, to the data of whole events."""

from gateway.errors import BackendFailed

LONGEST_EVENT = 32 * 1024 * 1024


class EventReader:
    """Feed it pieces; it gives back the data of each event that is complete, and holds no more than one.

    Comments, names and ids of events are passed over.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._held = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Raises `BackendFailed` for an event that does not end."""
        found: list[bytes] = []
        text = self._rest + piece
        # a final CR may be the first half of a CRLF
        held = b"\r" if text.endswith(b"\r") else b""
        lines = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        for line in lines:
            self._line(line, found)
        if self._held + len(self._rest) > LONGEST_EVENT:
            raise BackendFailed(f"The backend sent an event of more than {LONGEST_EVENT // (1024 * 1024)} MB.")
        return found

    def _line(self, line: bytes, found: list[bytes]) -> None:
        if not line:
            if self._data:
                found.append(b"\n".join(self._data))
            self._data, self._held = [], 0
        elif line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
            self._held += len(line)
