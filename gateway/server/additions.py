"""Adds to a stream: the `foreword` object to its first event, and one event before its end mark."""

from gateway.ask import Endpoint
from gateway.exchange import Exchange
from gateway.ports import Reply, is_encoded
from gateway.wire.chat import annotate
from gateway.wire.citations import note as cited
from gateway.wire.stream_ends import end_at, mark_of


class StreamAdditions:
    """Adds to one stream. Each piece of the stream must hold whole events. A compressed stream is not changed."""

    def __init__(self, exchange: Exchange, reply: Reply, account: bytes, sent: list[bytes], *, closing: bool) -> None:
        """`account` is the `foreword` object, or b"". `sent` is the list of the pieces that were already sent.
        `closing` tells whether the gateway may add an event at the end of the stream."""
        self.is_over = False
        """Whether the end mark was sent."""
        self._exchange = exchange
        self._reply = reply
        self._sent = sent
        self._endpoint = exchange.ask.endpoint
        # the closing event is a chunk of a chat completion, which clients of other endpoints do not know
        self._closing = closing and self._endpoint not in (Endpoint.RESPONSES, Endpoint.MESSAGES)
        self._packed = is_encoded(reply.headers)
        self.account = b"" if self._packed else account
        """The `foreword` object that is still to be added, or b"" after it was added."""
        self.mark = mark_of(self._endpoint)
        """After the `foreword` object was added, only a piece that contains these bytes can need another addition."""

    def add(self, piece: bytes) -> bytes:
        """Return the piece with its additions. Most pieces are returned unchanged."""
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
        """Return the addition after the last piece of a stream that had no end mark, or b"" if there is none."""
        return b"" if self.is_over or self._packed else self._last_event(b"")

    def _last_event(self, last: bytes) -> bytes:
        """Build the event with the data that are known only at the end of the stream, and note the citations for the
        record. `last` is the piece that is not sent yet."""
        exchange, notes = self._exchange, self._reply.notes
        if exchange.chunks:
            notes.append(cited.note(len(exchange.chunks), b"".join((*self._sent, last)), "text/event-stream"))
        return annotate.closing_event(exchange, notes) if notes and self._closing else b""
