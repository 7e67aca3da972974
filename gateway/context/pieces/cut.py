"""Cuts a text into pieces that are transformed one by one. Pieces and gaps together give back the whole text.

Cuts are made at blank lines, else at line ends (list items, rows of a table), else after sentences. A code block is cut
only if it is longer than a piece.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

from gateway.context.tables.figures import lead_at, leads_in
from gateway.exchange import TextPiece

Count = Callable[[str], int]

FULL, HARDLY_FULL = 0.5, 0.1
"""The minimum size of a piece as a share of its maximum size. The second share applies if a larger piece would end in a
code block.
"""
Rank = tuple[float, list[int]]
"""The share of its maximum size that a piece must reach to end at one of the places, and these places."""
_PLACES = (
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"\n\s*"),
    re.compile(r"[.!?…][\"')\]”’*]*\s+|[。！？…]+[”’」』）]*\s*"),
    re.compile(r"[,;:]\s+|[，、；：]\s*"),
    re.compile(r"\s+"),
)
"""Patterns for places where a text can be cut, the best first. The next piece begins at the end of a match."""
_FENCE = re.compile(r"^[ \t]*(```|~~~)", re.MULTILINE)
_SPACE = re.compile(r"\s*")


def cut(text: str, tokens: int, count: Count) -> list[TextPiece]:
    """Cut the text into pieces of at most `tokens` tokens. The text must not begin or end with white space.
    Blocking.
    """
    ranks = _ranks(text)
    leads = leads_in(text)
    made, start = [], 0
    while start < len(text):
        end = _end(text, start, _furthest(text, start, tokens, count), ranks)
        body = text[start:end].rstrip()
        after = start + len(body)
        following = _SPACE.match(text, after)
        assert following is not None
        made.append(TextPiece(body, following[0], lead_at(leads, start)))
        start = following.end()
    return made


def halves(piece: TextPiece, count: Count) -> list[TextPiece]:
    """Cut a piece in two, because its answer was too long. If the piece cannot be cut, the list has only this piece."""
    two = cut(piece.text, max(1, -(-count(piece.text) * 5 // 8)), count)
    last = TextPiece(two[-1].text, piece.gap, two[-1].lead or piece.lead)
    return [*(TextPiece(one.text, one.gap, one.lead or piece.lead) for one in two[:-1]), last]


def _furthest(text: str, start: int, tokens: int, count: Count) -> int:
    """Return the last place at which a piece of at most `tokens` tokens can end."""
    low, high = start + 1, min(len(text), start + 4 * tokens)
    while high < len(text) and count(text[start:high]) <= tokens:
        low, high = high, min(len(text), high + 2 * tokens)
    if high == len(text) and count(text[start:]) <= tokens:
        return high
    while low < high - 1:
        middle = (low + high) // 2
        if count(text[start:middle]) <= tokens:
            low = middle
        else:
            high = middle
    return low


def _end(text: str, start: int, furthest: int, ranks: list[Rank]) -> int:
    if furthest >= len(text):
        return len(text)
    fullest = 0
    for full, places in ranks:
        last = bisect_right(places, furthest) - 1
        place = places[last] if last >= 0 else 0
        if place > start + full * (furthest - start):
            return place
        fullest = max(fullest, place)
    return fullest if fullest > start else furthest


def _ranks(text: str) -> list[Rank]:
    """Return the ranks, the best rank first. The places in each rank are in ascending order.

    A place in a code block ranks below the blank lines, line ends and sentence ends outside code blocks.
    """
    blocks = list(_code_blocks(text))
    starts = [start for start, _ in blocks]

    def inside(place: int) -> bool:
        block = bisect_left(starts, place) - 1
        return block >= 0 and place < blocks[block][1]

    outer: list[Rank] = []
    inner: list[Rank] = []
    for pattern in _PLACES:
        places = [match.end() for match in pattern.finditer(text)]
        outer.append((FULL, [place for place in places if not inside(place)]))
        inner.append((FULL, [place for place in places if inside(place)]))
    early = [(HARDLY_FULL, places) for _, places in outer[:3]] if blocks else []
    return [*outer[:3], *early, *inner[:2], *outer[3:], *inner[2:]]


def _code_blocks(text: str) -> Iterator[tuple[int, int]]:
    fences = [match.start() for match in _FENCE.finditer(text)]
    for start, end in zip(fences[::2], fences[1::2], strict=False):
        yield start, end + 1
