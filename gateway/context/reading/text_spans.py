"""Splits text into spans with a limited number of tokens. Spans are cut at the best places: at the ends of paragraphs,
or else of lines, sentences, clauses or words.
"""

import re
from collections.abc import Callable
from itertools import pairwise

Count = Callable[[str], int]
Span = tuple[int, int]

CHARACTERS_A_TOKEN = 12
"""A text with more characters than this for each allowed token never fits, whatever its number of tokens. WordPiece
counts even a word of 10,000 letters as one token.
"""

# A cut is possible where a match ends. The patterns are ordered from best to worst.
PLACES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\n[ \t]*\n\s*",  # paragraphs
        r"\n",  # lines
        r"[.!?][\"')\]”’]*(?=\s)|[。！？…]+[”’」』）]*",  # sentences
        r"[,;:](?=\s)|[，、；：]",  # clauses
        r"\s+",  # words
    )
)
SENTENCES = 2


def sentences(text: str, tokens: int, count: Count) -> list[Span]:
    """Split a text into lines and sentences, and join neighbours up to `tokens` tokens. The spans cover everything but
    white space.
    """
    ends = {match.end() for place in PLACES[: SENTENCES + 1] for match in place.finditer(text)}
    parts = (stripped(text, *edges) for edges in pairwise(sorted({0, *ends, len(text)})))
    return joined_spans(text, [(start, end) for start, end in parts if start < end], count, tokens)


def fits(text: str, count: Count, room: int) -> bool:
    return len(text) <= room * CHARACTERS_A_TOKEN and count(text) <= room


def split(text: str, start: int, end: int, count: Count, room: int, joined: int, kind: int = 0) -> list[Span]:
    """Split a text into spans of at most `room` tokens, cut at the best places. The spans cover everything but white
    space.

    `kind` is the index in `PLACES` of the next pattern to cut at. If `kind` is 0, the text may have several paragraphs,
    and is kept whole only if it has at most `joined` tokens. Neighbouring spans are joined if they have at most
    `joined` tokens together.
    """
    start, end = stripped(text, start, end)
    if start == end:
        return []
    if end - start == 1 or fits(text[start:end], count, room if kind else joined):
        return [(start, end)]
    if kind == len(PLACES):
        middle = (start + end) // 2
        parts = [(start, middle), (middle, end)]
    else:
        parts = parts_at(PLACES[kind], text, start, end)
    below = kind if kind == len(PLACES) else kind + 1
    spans = [span for first, last in parts for span in split(text, first, last, count, room, joined, below)]
    return joined_spans(text, spans, count, joined)


def overlapping(text: str, start: int, end: int, count: Count, room: int, overlap: int) -> list[Span]:
    """Return spans of at most `room` tokens that overlap. Each span begins with up to `overlap` tokens from the end of
    the previous span.
    """
    size = max(1, overlap // 2)
    pieces = split(text, start, end, count, size, size)
    spans: list[Span] = []
    first = 0
    for place, (_, last) in enumerate(pieces):
        if place + 1 < len(pieces) and fits(text[pieces[first][0] : pieces[place + 1][1]], count, room):
            continue
        while first < place and not fits(text[pieces[first][0] : last], count, room):
            first += 1
        spans.append((pieces[first][0], last))
        following = place + 1
        while following > first + 1 and fits(text[pieces[following - 1][0] : last], count, overlap):
            following -= 1
        first = following
    return spans


def parts_at(place: re.Pattern[str], text: str, start: int, end: int) -> list[Span]:
    cuts = [match.end() for match in place.finditer(text, start, end)]
    edges = [start, *(cut for cut in cuts if start < cut < end), end]
    return list(pairwise(edges))


def joined_spans(text: str, spans: list[Span], count: Count, room: int) -> list[Span]:
    """Join neighbouring spans if they fit into `room` tokens together."""
    packed: list[Span] = []
    for start, end in spans:
        if packed and fits(text[packed[-1][0] : end], count, room):
            packed[-1] = (packed[-1][0], end)
        else:
            packed.append((start, end))
    return packed


def stripped(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
