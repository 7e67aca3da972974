"""Finds the fixed pieces that the texts of a group share, and builds a shape from them.

Runs of three tokens that occur in almost all texts are joined into pieces. A piece is kept if it occurs equally often
in almost all texts, and if the shape with this piece still matches the texts. The work grows linearly with the length
of the texts.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from gateway.prompt.found.shape import TextShape
from offline_jobs.discover.tokens import DATE, dated_tokens, tokens, words

SHINGLE = 3
SHARE = 0.95
"""A fixed piece must occur in at least this share of the texts. The other texts may have come into the group by
mistake."""
LOOKED_AT = 60
STEADY = 0.9
_BORDER_END = re.compile(r"\d[\d\-/:.,]*\Z")
_BORDER_START = re.compile(r"^(?:[\d\-/:.,]*\d|[^\S\n]?[.?!。？！]+)")
"""Matches the start of a piece if the start belongs to the value before the piece: digits of a number, or the mark that
ends a sentence."""
_MARKS = re.compile(r'[\n:"|<>#*\[\](){}=]')


def aligned(texts: Sequence[str], *, dates_vary: bool = True) -> TextShape:
    """Return the shape that the texts have in common. If no piece is common, the shape has no fixed text.

    If `dates_vary`, dates and times are never fixed text, even if they are equal in all texts: they may differ
    tomorrow.
    """
    if len(set(texts)) == 1:
        return TextShape((texts[0],))
    chosen = texts if len(texts) <= LOOKED_AT else [texts[at * len(texts) // LOOKED_AT] for at in range(LOOKED_AT)]
    cut = [dated_tokens(text) if dates_vary else tokens(text) for text in chosen]
    start, end = _common(cut), _common([part[::-1] for part in cut])
    # a stranger in the group has other ends
    typical = [part for part in cut if part[: len(start)] == start and part[::-1][: len(end)] == end]
    base = sorted(typical, key=len)[len(typical) // 4]
    head, tail = len(start), min(len(end), len(base) - len(start))
    first, last = "".join(base[:head]), "".join(base[len(base) - tail :])
    first, last = _BORDER_END.sub("", first), _BORDER_START.sub("", last)
    inner = [piece for run in _runs(base, cut, head, tail) for piece in _steady(run, chosen)]
    return _read(first, inner, last, chosen)


def _common(cut: Sequence[list[str]]) -> list[str]:
    """Return the longest common beginning of almost all token lists. The beginning ends before the first date."""
    need = SHARE * len(cut)
    alive = list(cut)
    start: list[str] = []
    while True:
        at = len(start)
        counts = Counter(part[at] for part in alive if len(part) > at)
        token, count = counts.most_common(1)[0] if counts else (DATE, 0)
        if count < need or token == DATE:
            return start
        alive = [part for part in alive if len(part) > at and part[at] == token]
        start.append(token)


def _runs(base: list[str], cut: Sequence[list[str]], head: int, tail: int) -> Iterator[str]:
    """Yield the runs of tokens in `base` that almost all texts contain, from left to right. Texts are compared by
    shingles, which are `SHINGLE` consecutive tokens."""
    counts: Counter[tuple[str, ...]] = Counter()
    for part in cut:
        counts.update(set(zip(*(part[at:] for at in range(SHINGLE)), strict=False)))
    need = SHARE * len(cut)
    start, end = head, len(base) - tail
    at = start
    while at + SHINGLE <= end:
        stop = at
        while stop + SHINGLE <= end and _shared(base[stop : stop + SHINGLE], counts, need):
            stop += 1
        if stop > at:
            yield "".join(base[at : stop + SHINGLE - 1])
            at = stop + SHINGLE - 1
        else:
            at += 1


def _shared(shingle: list[str], counts: Counter[tuple[str, ...]], need: float) -> bool:
    return DATE not in shingle and counts[tuple(shingle)] >= need


def _steady(run: str, texts: Sequence[str]) -> list[str]:
    """Return the run if it is steady (see `_is_steady`). Otherwise return its steady parts: the run without surrounding
    space, or its lines."""
    for parts in ([run], [run.strip()], [line for line in re.split(r"(?<=\n)", run.strip()) if line.strip()]):
        steady = [part for part in parts if _is_steady(part, texts)]
        if steady:
            return steady
    return []


def _is_steady(piece: str, texts: Sequence[str]) -> bool:
    """Return whether a piece looks like structure and occurs equally often in almost all texts."""
    count = words(piece)
    if not count or (count < 2 and not _MARKS.search(piece)):
        return False
    occurrences = Counter(text.count(piece) for text in texts)
    often, agreeing = occurrences.most_common(1)[0]
    return often > 0 and agreeing >= STEADY * len(texts)


def _read(first: str, inner: Sequence[str], last: str, texts: Sequence[str]) -> TextShape:
    """Return a shape of the outer pieces and the inner pieces. An inner piece is left out if the shape with this piece
    matches too few texts."""
    pieces: list[str] = [first]
    for piece in inner:
        trimmed = _BORDER_START.sub("", _BORDER_END.sub("", piece))
        for part in _without_overlap(pieces[-1], trimmed):
            if part.strip() and _readable(TextShape((*pieces, part, last)), texts):
                pieces.append(part)
                break
    return TextShape((*pieces, last))


def _without_overlap(before: str, piece: str) -> Iterator[str]:
    """Yield a piece, and the piece without a beginning that is the end of the piece before it.

    Where a text lacks what stands between the two, they share these characters: `…life:\\n`, `:\\nHow they look`.
    """
    yield piece
    for length in range(min(len(before), len(piece) - 1), 0, -1):
        if before.endswith(piece[:length]):
            yield piece[length:]
            return


def _readable(shape: TextShape, texts: Sequence[str]) -> bool:
    return sum(shape.values(text) is not None for text in texts) >= SHARE * len(texts)


def strength(shape: TextShape) -> int:
    """Return the number of words in the fixed pieces of a shape."""
    return sum(map(words, shape.pieces))
