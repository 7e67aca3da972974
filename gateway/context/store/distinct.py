"""Drops chunks that repeat a better chunk."""

import re
from collections.abc import Sequence

from gateway.context.store.words import words_of
from gateway.exchange import Chunk

ALIKE = 0.85
"""Two chunks repeat each other if they share all their numbers and at least this share of their words."""


HAS_DIGIT = re.compile(r"\d")


def distinct(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Return the chunks without those that repeat a better chunk. `chunks` must be sorted, the best first."""
    distinct_chunks: list[Chunk] = []
    seen: list[frozenset[str]] = []
    for chunk in chunks:
        words = frozenset(words_of(chunk.text))
        if not any(_alike(words, other) for other in seen):
            seen.append(words)
            distinct_chunks.append(chunk)
    return distinct_chunks


def _alike(first: frozenset[str], second: frozenset[str]) -> bool:
    shorter, longer = sorted((len(first), len(second)))
    if shorter < ALIKE * longer:
        return False
    # tables of different years may differ only in their numbers
    return len(first & second) >= ALIKE * len(first | second) and not any(map(HAS_DIGIT.search, first ^ second))
