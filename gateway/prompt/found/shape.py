"""The shape of a text that a program builds: fixed pieces with variable parts between them.

A shape is exact: the pieces and the values of the parts, joined in order, are the text.
"""

from collections.abc import Sequence
from itertools import chain, zip_longest

from msgspec import Struct

REACH = 4096
"""An inner piece is searched for within this many characters after the previous piece. If it is not there, it is
searched for within this many characters before the last piece. This limits the work for a long text.
"""


class TextShape(Struct, frozen=True):
    """The fixed pieces of a text, with a part between every two neighbouring pieces.

    The text begins with the first piece and ends with the last; both may be "". A single piece is a constant text.
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
        """Whether the shape has no fixed text, so that it fits every text."""
        return len(self.pieces) > 1 and not self.fixed_chars

    def values(self, text: str) -> tuple[str, ...] | None:
        """Return the values of the parts, or None if the shape does not fit the text. Each inner piece is found at its
        first possible place.
        """
        return _values(self.pieces, text, REACH)

    def values_after_first(self, text: str) -> tuple[str, ...] | None:
        """Do the same for a text that is known to begin with the first piece of a shape with parts."""
        return _values_after_first(self.pieces, text, REACH)

    def is_ambiguous(self, text: str) -> bool:
        """Whether a text can be read in more than one way. The whole text is searched for each piece."""
        return len(self.pieces) > 2 and _values(self.pieces, text, len(text)) != self.last_values(text)

    def last_values(self, text: str) -> tuple[str, ...] | None:
        """Return the values with each inner piece at its last possible place in the whole text."""
        if len(self.pieces) < 3:
            return self.values(text)
        turned = _values(tuple(piece[::-1] for piece in reversed(self.pieces)), text[::-1], len(text))
        return None if turned is None else tuple(value[::-1] for value in reversed(turned))

    def text(self, values: Sequence[str]) -> str:
        """Join the pieces and the values of the parts."""
        return "".join(chain.from_iterable(zip_longest(self.pieces, values, fillvalue="")))


OPEN = TextShape(("", ""))
"""The shape without fixed text, which fits every text."""


def _values(pieces: tuple[str, ...], text: str, reach: int) -> tuple[str, ...] | None:
    if len(pieces) == 1:
        return () if text == pieces[0] else None
    return _values_after_first(pieces, text, reach) if text.startswith(pieces[0]) else None


def _values_after_first(pieces: tuple[str, ...], text: str, reach: int) -> tuple[str, ...] | None:
    last = pieces[-1]
    end = len(text) - len(last)
    at = len(pieces[0])
    if at > end or not text.endswith(last):
        return None
    if len(pieces) == 2:
        return (text[at:end],)
    values = []
    for piece in pieces[1:-1]:
        place = text.find(piece, at, min(end, at + reach + len(piece)))
        if place < 0 and end - at > reach:
            place = text.find(piece, max(at, end - reach), end)
        if place < 0:
            return None
        values.append(text[at:place])
        at = place + len(piece)
    values.append(text[at:end])
    return tuple(values)
