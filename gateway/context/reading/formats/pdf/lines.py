"""Groups words into lines, and splits lines into cells at wide gaps."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from msgspec import Struct

from gateway.context.reading.formats.pdf.words import PageWord

CELL_GAP = 0.85
"""If the gap between two words is larger than this share of the line's height, the gap separates cells or columns. Gaps
in justified text are smaller.
"""


class TextLine(Struct, frozen=True):
    """The words of a line, from left to right."""

    words: tuple[PageWord, ...]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def left(self) -> float:
        return self.words[0].left

    @property
    def right(self) -> float:
        return max(word.right for word in self.words)

    @property
    def top(self) -> float:
        return min(word.top for word in self.words)

    @property
    def bottom(self) -> float:
        return max(word.bottom for word in self.words)

    @property
    def height(self) -> float:
        return median(word.height for word in self.words)

    @property
    def bold(self) -> bool:
        return all(word.bold for word in self.words)


class TableBlock(Struct, frozen=True):
    """The rows of a table, and the positions of its top and bottom on the page."""

    rows: list[list[str]]
    top: float
    bottom: float
    ruled: bool = False


def lines_of(words: Sequence[PageWord]) -> list[TextLine]:
    """Group words into lines, from top to bottom. Two words are in the same line if they overlap vertically by more
    than half of the smaller height.
    """
    lines: list[list[PageWord]] = []
    reach: tuple[float, float] = (0.0, 0.0)
    for word in sorted(words, key=lambda word: (word.top + word.bottom, word.left)):
        shared = min(reach[1], word.bottom) - max(reach[0], word.top)
        if lines and shared > 0.5 * min(word.height, reach[1] - reach[0]):
            lines[-1].append(word)
        else:
            lines.append([word])
            reach = (word.top, word.bottom)
    return [TextLine(tuple(sorted(line, key=lambda word: word.left))) for line in lines]


def cells_of(line: TextLine) -> list[TextLine]:
    """Split a line at its wide gaps."""
    gap = CELL_GAP * line.height
    parts: list[list[PageWord]] = [[line.words[0]]]
    for before, word in pairwise(line.words):
        if word.left - before.right > gap:
            parts.append([])
        parts[-1].append(word)
    return [TextLine(tuple(part)) for part in parts]
