"""A mined shape, and the rule that distinguishes a program's prompt from similar texts written by people."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from heapq import merge
from operator import itemgetter

from msgspec import Struct

from gateway.prompt.found.shape import TextShape
from offline_jobs.discover.align import strength
from offline_jobs.discover.sample import SampleText
from offline_jobs.discover.tokens import words

INSTRUCTION = 5
"""The smallest number of words in an instruction. Shorter pieces are labels."""
EDGE = 8  # characters at the start or end of a text by which shapes are looked up
LABELLED = 20
"""The smallest number of requests for a shape whose only fixed text is a label."""
MANY_LABELS = 3
"""A shape with at least this many labelled pieces needs no more requests than other shapes: people do not write them in
one order."""
_LABEL = re.compile(r"\s*[^\W\d_][\w; ]{0,24}:\s*")
_LAST_LABEL = re.compile(r"\s*\n[^\W\d_][\w; ]{2,24}:\s*")
"""Matches a label that ends a text on a line of its own. People write something after their labels."""
_LABELLED = re.compile(r"(?:^|\n)\W*[^\W\d_][\w; ]{0,24}:")
_BORDER = re.compile(r'[\n:"“”\'‘’(\[{<>|#*=`\]})-]\s*$|\n\s*$')


class MinedShape(Struct, frozen=True):
    """A shape, and the sampled texts that it was mined from."""

    shape: TextShape
    members: tuple[SampleText, ...]


class MinedShapes:
    """Finds the first of many shapes that fits a text. Thousands of them may be constant texts, which people ask again
    and again, so these are looked up and not tried. Of the others only those are tried that begin or end as the text
    does, besides those that show it neither way."""

    def __init__(self, mined: Sequence[MinedShape]) -> None:
        self._constant: dict[str, tuple[int, MinedShape]] = {}
        self._begin: defaultdict[str, list[tuple[int, MinedShape]]] = defaultdict(list)
        self._end: defaultdict[str, list[tuple[int, MinedShape]]] = defaultdict(list)
        self._others: list[tuple[int, MinedShape]] = []
        for number, one in enumerate(mined):
            first, last = one.shape.pieces[0], one.shape.pieces[-1]
            if not one.shape.parts:
                self._constant.setdefault(first, (number, one))
            elif len(first) >= EDGE:
                self._begin[first[:EDGE]].append((number, one))
            elif len(last) >= EDGE:
                self._end[last[-EDGE:]].append((number, one))
            else:
                self._others.append((number, one))

    def first(self, text: str) -> MinedShape | None:
        """Return the first shape, in the given order, that fits the text."""
        number, constant = self._constant.get(text, (-1, None))
        begin, end = self._begin.get(text[:EDGE], ()), self._end.get(text[-EDGE:], ())
        for place, one in merge(begin, end, self._others, key=itemgetter(0)):
            if constant is not None and place > number:
                break
            if one.shape.values(text) is not None:
                return one
        return constant


def unread(samples: Iterable[SampleText], mined: Sequence[MinedShape]) -> list[SampleText]:
    """Return the texts that no shape fits."""
    fits = MinedShapes(mined)
    return [sample for sample in samples if fits.first(sample.text) is None]


def instructs(shape: TextShape) -> bool:
    """Return whether a fixed piece is long enough to be an instruction."""
    return any(words(piece) >= INSTRUCTION for piece in shape.pieces)


def is_frame(shape: TextShape, requests: int = 0) -> bool:
    """Return whether the fixed text shows that a program built the prompt. A few fixed words are not enough, because
    people also start sentences alike."""
    count, chars = strength(shape), shape.fixed_chars
    if shape.parts == 0:
        return count >= 8 and chars >= 40
    strong = [piece for piece in shape.pieces if words(piece) >= 3 and len(piece.strip()) >= 12]
    if len([piece for piece in shape.pieces if words(piece) >= 1]) >= 2 and count >= 4 and chars >= 20 and strong:
        return True
    if count >= 10 and chars >= 50:
        return True
    if any(_has_border(shape, piece) for piece in strong):
        return True
    labelled = sum(bool(_LABELLED.search(piece)) for piece in shape.pieces)
    if labelled >= MANY_LABELS or _LAST_LABEL.fullmatch(shape.pieces[-1]):
        return True
    if requests < LABELLED:
        return False
    return labelled > 1 or any(_LABEL.fullmatch(piece) for piece in (shape.pieces[0], shape.pieces[-1]))


def _has_border(shape: TextShape, piece: str) -> bool:
    """Return whether a mark, a line break or a new sentence separates a piece from a variable part."""
    if piece != shape.pieces[-1] and _BORDER.search(piece):
        return True
    inside = piece.lstrip()
    return (
        piece != shape.pieces[0]
        and bool(inside)
        and (piece[0] == "\n" or inside[0].isupper() or not inside[0].isalnum())
    )
