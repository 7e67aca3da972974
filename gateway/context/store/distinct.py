"""Drops chunks that repeat a better one."""

import re
from collections.abc import Sequence

from gateway.context.store.words import words_of
from gateway.exchange import Chunk

ALIKE = 0.85
"""Chunks with this share of their words in common, and all numbers, count as repetitions."""


HAS_DIGIT = re.compile(r"\d")


def distinct(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The chunks without those that share nearly all words and all numbers with a better-scored one."""
    kept: list[Chunk] = []
    seen: list[frozenset[str]] = []
    for chunk in chunks:
        words = frozenset(words_of(chunk.text))
        if not any(_alike(words, other) for other in seen):
            seen.append(words)
            kept.append(chunk)
    return kept


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    shorter, longer = sorted((len(one), len(other)))
    if shorter < ALIKE * longer:
        return False
    # tables of two years have all their words in common
    return len(one & other) >= ALIKE * len(one | other) and not any(map(HAS_DIGIT.search, one ^ other))
