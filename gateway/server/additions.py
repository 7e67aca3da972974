"""Adds the `foreword` object to the first event of a stream, and one event before the stream's end mark."""

from gateway.ask import Endpoint
from gateway.exchange import Exchange
from gateway.ports import Reply, is_encoded
from gateway.wire.chat import annotate
from gateway.wire.citations import note as cited
from gateway.wire.stream_ends import end_at, mark_of


class StreamAdditions:
    """Adds the `foreword` object and a closing event to one stream.

    Each piece of the stream must hold whole events. A compressed stream is not changed.
    """

    def __init__(self, exchange: Exchange, reply: Reply, account: bytes, sent: list[bytes], *, closing: bool) -> None:
        """`account` is the encoded `foreword` object, or b"" to add none. `sent` is the list of the pieces sent so far.

        `closing` allows an event at the end of the stream.
        """
        self.is_over = False
        """Whether the end mark was sent."""
        self._exchange = exchange
        self._reply = reply
        self._sent = sent
        self._endpoint = exchange.ask.endpoint
        # the closing event is a chunk of a chat completion, so other endpoints get none
        self._closing = closing and self._endpoint not in (Endpoint.RESPONSES, Endpoint.MESSAGES)
        self._packed = is_encoded(reply.headers)
        self.account = b"" if self._packed else account
        """The `foreword` object that is still to be added, or b""."""
        self.mark = mark_of(self._endpoint)
        """The bytes that the end mark contains. Once the `foreword` object is added, only pieces with these bytes can
        change."""

    def add(self, piece: bytes) -> bytes:
        """Return the piece with its additions. Most pieces stay unchanged."""
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
        """Return the closing event of a stream that ended without an end mark, or b"" if there is nothing to add."""
        return b"" if self.is_over or self._packed else self._last_event(b"")

    def _last_event(self, last: bytes) -> bytes:
        """Build the closing event, with the data that is known only at the end, and add a note about the citations.

        `last` is the last piece, which is not sent yet. Returns b"" if the stream gets no closing event.
        """
        exchange, notes = self._exchange, self._reply.notes
        if exchange.chunks:
            notes.append(cited.note(len(exchange.chunks), b"".join((*self._sent, last)), "text/event-stream"))
        return annotate.closing_event(exchange, notes) if notes and self._closing else b""
