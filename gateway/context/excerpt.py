"""Selects the best sentences of the retrieved passages, if whole passages do not fit.

A passage is split into sentences and lines. The value of such a part combines the score of its passage with the part's
own share of the query's words. An excerpt is one span of its passage, so that a citation can name its position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.context.pack import SourceBudget
from gateway.context.reading.chunk import lead_length
from gateway.context.reading.text_spans import sentences
from gateway.context.store.fusion import followed
from gateway.exchange import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PART_TOKENS = 64
WORDS_SHARE = 0.6
"""The weight of the query's words in the value of a part.

The value is this weight times the part's share of the query's words, plus the amount by which the score of the passage
exceeds the lowest score of all passages.
"""
ADJOINING = 200
"""Two passages with at most this many characters between them are neighbours. A heading may stand between them."""

Shares = Callable[[str, Sequence[str]], Sequence[float]]
"""A function that takes the id of a collection and texts. It returns each text's share of the query's words, weighted
as in BM25.
"""


class ExcerptPart(Struct, frozen=True):
    """Characters `start` to `end` of chunk number `chunk`.

    If the chunk repeats the head of a table, positions are counted from the end of the head.
    """

    chunk: int
    start: int
    end: int
    tokens: int


def excerpts(chunks: Sequence[Chunk], budget: SourceBudget, shares: Shares) -> list[Chunk]:
    """Return excerpts of the chunks, in the order of the chunks. All excerpts together fit the budget. A chunk for
    which there is no room has no excerpt.
    """
    lined = sorted(range(len(chunks)), key=lambda at: (chunks[at].collection, chunks[at].source, chunks[at].start))
    parts = [part for at in lined for part in parts_of(at, chunks[at])]
    taken: dict[int, tuple[int, int]] = {}
    used = 0
    for place in _best_first(chunks, parts, shares):
        number = parts[place].chunk
        first, last = taken.get(number, (place, place - 1))
        wider = min(first, place), max(last, place)
        then = used + _tokens(parts, *wider) - _tokens(parts, first, last)
        then += _lead_tokens(chunks[number]) if number not in taken else 0
        if budget.holds(then, len({*taken, number})):
            taken[number] = wider
            used = then
    return [_excerpt(chunks[at], parts, taken[at]) for at in range(len(chunks)) if at in taken]


def parts_of(number: int, chunk: Chunk) -> list[ExcerptPart]:
    """Split a chunk into sentences and lines. The tokens of the chunk are divided among the parts in proportion to the
    lengths of the parts.
    """
    text, rate = chunk.text[lead_length(chunk) :], chunk.tokens / max(1, len(chunk.text))
    spans = sentences(text, PART_TOKENS, lambda some: math.ceil(len(some) * rate))
    # white space after a part is included in the part
    ends = [*(start for start, _ in spans[1:]), *([len(text)] if spans else [])]
    return [
        ExcerptPart(number, start, end, math.ceil((upto - start) * rate))
        for (start, end), upto in zip(spans, ends, strict=True)
    ]


def _best_first(chunks: Sequence[Chunk], parts: Sequence[ExcerptPart], shares: Shares) -> list[int]:
    import numpy as np

    least = min(chunk.score for chunk in chunks)
    of_chunks = np.array([chunks[part.chunk].score - least for part in parts])
    places = _places(chunks, parts)
    values = of_chunks + WORDS_SHARE * _shares_of(chunks, parts, shares)
    return followed(places, np.zeros(len(places), np.int64), values)


def _shares_of(chunks: Sequence[Chunk], parts: Sequence[ExcerptPart], shares: Shares) -> Any:
    """Return each part's share of the query's words, [parts]. Words are weighted by idf in the part's collection."""
    import numpy as np

    result = np.zeros(len(parts))
    for collection in {chunk.collection for chunk in chunks}:
        mine = [place for place, part in enumerate(parts) if chunks[part.chunk].collection == collection]
        texts = [_own(chunks[parts[place].chunk])[parts[place].start : parts[place].end] for place in mine]
        result[mine] = shares(collection, texts)
    return result


def _places(chunks: Sequence[Chunk], parts: Sequence[ExcerptPart]) -> NDArray[np.int64]:
    """Number the parts in ascending order. The numbers of two successive parts differ by 1 if the parts are neighbours
    in a document, and otherwise by 2.
    """
    import numpy as np

    steps = [1 if _adjoin(chunks, first, second) else 2 for first, second in pairwise(parts)]
    return np.cumsum([0, *steps], dtype=np.int64)[: len(parts)]


def _adjoin(chunks: Sequence[Chunk], first: ExcerptPart, second: ExcerptPart) -> bool:
    if first.chunk == second.chunk:
        return True
    before, after = chunks[first.chunk], chunks[second.chunk]
    same = (before.collection, before.source) == (after.collection, after.source)
    return same and after.start - before.end <= ADJOINING


def _tokens(parts: Sequence[ExcerptPart], first: int, last: int) -> int:
    return sum(part.tokens for part in parts[first : last + 1])


def _own(chunk: Chunk) -> str:
    """Return the text of a passage, without the repeated head of a table or list."""
    return chunk.text[lead_length(chunk) :]


def _lead_tokens(chunk: Chunk) -> int:
    return math.ceil(lead_length(chunk) * chunk.tokens / max(1, len(chunk.text)))


def _excerpt(chunk: Chunk, parts: Sequence[ExcerptPart], taken: tuple[int, int]) -> Chunk:
    """Return the excerpt of a chunk. An excerpt of a table keeps the title row."""
    start, end = parts[taken[0]].start, parts[taken[1]].end
    own = _own(chunk)
    if (start, end) == (0, len(own)):
        return chunk
    tokens = min(chunk.tokens, _tokens(parts, *taken) + _lead_tokens(chunk))
    text = chunk.text[: lead_length(chunk)] + own[start:end]
    return replace(chunk, text=text, start=chunk.start + start, end=chunk.start + end, tokens=tokens)
