"""Adds to a stream: the `foreword` object to its first event, and one event before its end mark."""

from gateway.ask import Endpoint
from gateway.exchange import Exchange
from gateway.ports import Reply, is_encoded
from gateway.wire.chat import annotate
from gateway.wire.citations import note as cited
from gateway.wire.stream_ends import end_at, mark_of


class StreamAdditions:
    """The additions to one stream, whose pieces hold whole events. Nothing is added to a compressed stream."""

    def __init__(self, exchange: Exchange, reply: Reply, account: bytes, sent: list[bytes], *, closing: bool) -> None:
        """`account`: the `foreword` object, or b"". `sent`: the pieces that were sent. `closing`: whether the stream
        may end with an event of the gateway's own."""
        self.is_over = False
        """Whether the end mark was sent."""
        self._exchange = exchange
        self._reply = reply
        self._sent = sent
        self._endpoint = exchange.ask.endpoint
        self._closing = closing and self._endpoint is not Endpoint.RESPONSES
        self._packed = is_encoded(reply.headers)
        self.account = b"" if self._packed else account
        """The `foreword` object; b"" after it was added to an event."""
        self.mark = mark_of(self._endpoint)
        """After the object was added, only pieces with these bytes can need an addition."""

    def add(self, piece: bytes) -> bytes:
        """The piece with its additions. Most pieces are returned unchanged."""
        if self.account:
            piece, is_added = annotate.first_event(piece, self.account)
            self.account = b"" if is_added else self.account
        if self.mark in piece and not self.is_over and not self._packed:
            end = end_at(piece, self._endpoint)
            if end >= 0:
                self.is_over = True
                piece = piece[:end] + self._last_event(piece) + piece[end:]
        return piece

    def end(self) -> bytes:
        """The addition after the last piece of a stream without an end mark, or b""."""
        return b"" if self.is_over or self._packed else self._last_event(b"")

    def _last_event(self, last: bytes) -> bytes:
        """The event with the data that are known only at the end, which are also recorded. `last`: the piece that is
        not sent yet."""
        exchange, notes = self._exchange, self._reply.notes
        if exchange.chunks:
            notes.append(cited.note(len(exchange.chunks), b"".join((*self._sent, last)), "text/event-stream"))
        return annotate.closing_event(exchange, notes) if notes and self._closing else b""
