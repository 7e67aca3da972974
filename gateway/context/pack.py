"""Chooses the chunks for the prompt within a token budget, and numbers them."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from gateway.exchange import Chunk

CHUNK_TOKENS = 24
"""The tokens of the line above each source, which has its number, name and heading."""


class SourceBudget(Struct, frozen=True):
    """The limits of the sources in tokens. `tokens` limits their texts, and `room` limits the texts together with the
    lines above them."""

    tokens: int
    room: int

    def holds(self, tokens: int, sources: int) -> bool:
        return tokens <= self.tokens and tokens + sources * CHUNK_TOKENS <= self.room


def pack(chunks: Sequence[Chunk], budget: SourceBudget) -> tuple[Chunk, ...]:
    """Keep the chunks with the best scores that fit the budget, in document order.

    The documents are in the order of their names and not of their scores. So the same chunks always make the same
    prompt, which a model's prompt cache knows.
    """
    chosen: list[Chunk] = []
    used = 0
    for chunk in sorted(chunks, key=lambda chunk: -chunk.score):
        if budget.holds(used + chunk.tokens, len(chosen) + 1):
            chosen.append(chunk)
            used += chunk.tokens
    return tuple(sorted(chosen, key=lambda chunk: (chunk.collection, chunk.source, chunk.start)))


def citations(chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    """The chunk behind each number in the answer, in the form that the client and the record get."""
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
