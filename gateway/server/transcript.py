"""What is kept of an answer for its record, up to a limit."""


class Transcript:
    """The bytes of an answer as they were sent. `cut` says whether some were left out."""

    def __init__(self, limit: int) -> None:
        """`limit` in bytes; 0 keeps nothing."""
        self.pieces: list[bytes] = []
        self.cut = False
        self._room = limit

    def add(self, piece: bytes) -> None:
        """Keep a piece, or as much of it as there is room for."""
        if len(piece) > self._room:
            self.cut = True
            piece = piece[: self._room]
        self._room -= len(piece)
        if piece:
            self.pieces.append(piece)

    def whole(self) -> bytes:
        return b"".join(self.pieces)
