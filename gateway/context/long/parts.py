"""Cuts a long text into parts that fit a window, between paragraphs or between sentences."""

from collections.abc import Callable, Sequence

from gateway.context.reading.chunk import Cut, chunk
from gateway.context.reading.document import Document
from gateway.exchange import Chunk

Count = Callable[[str], int]

PIECES = 10
"""A part consists of about this many pieces, so that it can end at a paragraph or a sentence."""
MESSAGE = "message"


def pieces(text: str, tokens: int, count: Count) -> list[Chunk]:
    """Split the text into spans of at most `tokens` tokens each. Blocking."""
    return chunk(Document(text), "", MESSAGE, count, Cut(max(16, tokens), strict=True), tokens)


def parts(text: str, tokens: int, count: Count) -> list[Chunk]:
    """Split the text into as few parts as possible. A part has whole pieces, and at most `tokens` tokens. Blocking."""
    filled: list[list[Chunk]] = []
    used = tokens
    for piece in pieces(text, tokens // PIECES, count):
        if used + piece.tokens > tokens:
            filled.append([])
            used = 0
        filled[-1].append(piece)
        used += piece.tokens
    return [_joined(text, group) for group in filled]


def _joined(text: str, group: Sequence[Chunk]) -> Chunk:
    start, end = group[0].start, group[-1].end
    tokens = sum(piece.tokens for piece in group)
    return Chunk(group[0].id, "", MESSAGE, text[start:end], start, end, heading=group[0].heading, tokens=tokens)
