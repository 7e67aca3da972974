"""Keeps the bytes of an answer for its record, up to a limit."""


class Transcript:
    """The bytes of an answer, as sent to the client. `cut` is True if some of them were not kept."""

    def __init__(self, limit: int) -> None:
        """`limit` is the largest number of bytes to keep. 0 keeps nothing."""
        self.pieces: list[bytes] = []
        self.cut = False
        self._room = limit

    def add(self, piece: bytes) -> None:
        """Keep a piece, or the part of it that still fits."""
        if len(piece) > self._room:
            self.cut = True
            piece = piece[: self._room]
        self._room -= len(piece)
        if piece:
            self.pieces.append(piece)

    def whole(self) -> bytes:
        return b"".join(self.pieces)
