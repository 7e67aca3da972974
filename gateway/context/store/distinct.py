"""Drops chunks that repeat a better one."""

import re
from collections.abc import Sequence

from gateway.context.store.words import words_of
from gateway.exchange import Chunk

ALIKE = 0.85
"""Two chunks count as repetitions if they have all numbers and at least this share of their words in common."""


HAS_DIGIT = re.compile(r"\d")


def distinct(chunks: Sequence[Chunk]) -> list[Chunk]:
    """The chunks without those that have nearly all words and all numbers in common with a chunk of a higher score."""
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
    # the tables of different years may have all words except for the numbers in common
    return len(first & second) >= ALIKE * len(first | second) and not any(map(HAS_DIGIT.search, first ^ second))
