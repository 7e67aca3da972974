"""Cuts the bodies of upstreams into pieces, and an answer that returns given pieces."""

from collections.abc import Iterator

from gateway.wire.sse import EventCutter


def cut_everywhere(stream: bytes, least: int = 1) -> Iterator[list[bytes]]:
    """Yield the stream cut in two, once at each of its bytes."""
    for place in range(least, len(stream)):
        yield [stream[:place], stream[place:]]


def whole_events(*pieces: bytes) -> list[bytes]:
    """Join pieces into whole events, as the cutter passes them on."""
    cutter = EventCutter()
    cut = [cutter.feed(piece) for piece in pieces]
    return [piece for piece in (*cut, cutter.rest()) if piece]


class PieceAnswer:
    """An upstream's answer with these pieces. `error` is raised after the last one."""

    def __init__(
        self,
        pieces: list[bytes],
        headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"text/event-stream"),),
        status: int = 200,
        error: Exception | None = None,
    ) -> None:
        self.status, self.headers = status, list(headers)
        self.closed = False
        self._pieces = list(pieces)
        self._error = error

    async def piece(self) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if self._error is not None:
            raise self._error
        return b""

    async def whole(self) -> bytes:
        body = b"".join(self._pieces)
        self._pieces = []
        if self._error is not None:
            raise self._error
        return body

    def close(self) -> None:
        self.closed = True
