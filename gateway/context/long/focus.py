"""Searches one long text with an index that is built for this request: by words, and with an embedder also by
meaning.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.context.long.parts import Count, pieces
from gateway.context.pack import SourceBudget, pack
from gateway.context.store import lexical
from gateway.context.store.fusion import fused
from gateway.errors import NotReady
from gateway.exchange import Chunk

if TYPE_CHECKING:
    from gateway.ports import Vectors

Embed = Callable[[Sequence[str]], Awaitable["Vectors"]]

PIECE_TOKENS = 200
FEWEST = 4
"""At least this many pieces must fit the prompt. If the window is small, pieces are made smaller."""
EMBEDDED = 64
"""The number of pieces that are compared by meaning. These are the pieces that match best by words. The other pieces
are not compared by meaning, since each comparison takes milliseconds.
"""
MEANING_SHARE = 0.7
"""The weight of meaning in a piece's score. Words have the remaining weight."""


async def focus(text: str, task: str, room: int, count: Count, embed: Embed | None) -> tuple[Chunk, ...]:
    """Return the pieces that match the task best and fit `room` tokens, in the order of the text."""
    candidates = await asyncio.to_thread(pieces, text, min(PIECE_TOKENS, room // FEWEST), count)
    by_words = await asyncio.to_thread(ranked, [piece.text for piece in candidates], task)
    scores = await _scores(candidates, by_words, task, embed)
    scored = [replace(candidates[index], score=score) for index, score in scores]
    return pack(scored, SourceBudget(room, room))


def ranked(texts: Sequence[str], query: str) -> list[tuple[int, float]]:
    """Return all texts with their BM25 scores for the query, the best first. Blocking."""
    database = sqlite3.connect(":memory:")
    try:
        lexical.create(database, "text")
        lexical.add(database, "text", enumerate(texts))
        likeness = lexical.likeness(database, "text", query)
    finally:
        database.close()
    return sorted(enumerate(likeness.shares(texts)), key=lambda pair: -pair[1])


async def _scores(
    candidates: Sequence[Chunk], by_words: list[tuple[int, float]], task: str, embed: Embed | None
) -> list[tuple[int, float]]:
    if embed is None:
        return by_words
    near = [index for index, _ in by_words[:EMBEDDED]]
    try:
        vectors = await embed([task, *(candidates[index].text for index in near)])
    except NotReady:
        return by_words
    cosines = sorted(zip(near, map(float, vectors[1:] @ vectors[0]), strict=True), key=lambda pair: -pair[1])
    return fused(cosines, by_words, MEANING_SHARE)
