"""The shape of a text that a program builds: fixed pieces with parts between them.

A shape is exact and invertible. The pieces and the values of the parts, joined in their order, are the text.
"""

from collections.abc import Sequence
from itertools import chain, zip_longest

from msgspec import Struct

REACH = 4096
"""An inner piece is searched in so many characters after the piece before, and in the last ones of the text. This
bounds the work for a long text."""


class TextShape(Struct, frozen=True):
    """The fixed pieces of a text. There is a part between each two pieces.

    The text begins with the first piece and ends with the last one; either may be "". One piece alone is a constant
    text.
    """

    pieces: tuple[str, ...]

    @property
    def parts(self) -> int:
        return len(self.pieces) - 1

    @property
    def fixed_chars(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def is_open(self) -> bool:
        """Whether every text has this shape, since it has no fixed text."""
        return len(self.pieces) > 1 and not self.fixed_chars

    def values(self, text: str) -> tuple[str, ...] | None:
        """Return the values of the parts, or None if the text does not have this shape. Each inner piece is the first
        one possible."""
        return _values(self.pieces, text)

    def last_values(self, text: str) -> tuple[str, ...] | None:
        """Do the same as `values`, but each inner piece is the last one possible. If both agree, there is only one way
        to read the text."""
        if len(self.pieces) < 3:
            return self.values(text)
        turned = _values(tuple(piece[::-1] for piece in reversed(self.pieces)), text[::-1])
        return None if turned is None else tuple(value[::-1] for value in reversed(turned))

    def text(self, values: Sequence[str]) -> str:
        """Join the pieces and the values of the parts."""
        return "".join(chain.from_iterable(zip_longest(self.pieces, values, fillvalue="")))


OPEN = TextShape(("", ""))
"""The shape of a text without any fixed piece."""


def _values(pieces: tuple[str, ...], text: str) -> tuple[str, ...] | None:
    if len(pieces) == 1:
        return () if text == pieces[0] else None
    first, *inner, last = pieces
    end = len(text) - len(last)
    at = len(first)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return None
    values = []
    for piece in inner:
        place = text.find(piece, at, min(end, at + REACH + len(piece)))
        if place < 0 and end - at > REACH:
            place = text.find(piece, max(at, end - REACH), end)
        if place < 0:
            return None
        values.append(text[at:place])
        at = place + len(piece)
    values.append(text[at:end])
    return tuple(values)
