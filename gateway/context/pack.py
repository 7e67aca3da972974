"""Chooses chunks for the prompt within a token budget, and numbers them."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from gateway.exchange import Chunk

CHUNK_TOKENS = 24
"""The tokens of the line above a source: its number, name and heading."""


class SourceBudget(Struct, frozen=True):
    """The limits of the sources in tokens: `tokens` for their texts, `room` for the texts and the lines above them."""

    tokens: int
    room: int

    def holds(self, tokens: int, sources: int) -> bool:
        return tokens <= self.tokens and tokens + sources * CHUNK_TOKENS <= self.room


def pack(chunks: Sequence[Chunk], budget: SourceBudget) -> tuple[Chunk, ...]:
    """Return the best chunks that fit the budget, sorted by collection, document and position."""
    chosen: list[Chunk] = []
    used = 0
    for chunk in sorted(chunks, key=lambda chunk: -chunk.score):
        if budget.holds(used + chunk.tokens, len(chosen) + 1):
            chosen.append(chunk)
            used += chunk.tokens
    return tuple(sorted(chosen, key=lambda chunk: (chunk.collection, chunk.source, chunk.start)))


def citations(chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    """Describe the chunk behind each source number, for the client and the record."""
    return [
        {
            "n": number,
            "id": chunk.id,
            "collection": chunk.collection,
            "source": chunk.cited,
            "heading": chunk.heading,
            "page": chunk.page,
            "start": chunk.start,
            "end": chunk.end,
            "score": round(chunk.score, 4),
        }
        for number, chunk in enumerate(chunks, 1)
    ]
