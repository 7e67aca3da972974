"""Counts how often one intent is mistaken for another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

NONE = "(none)"


class Mistake(Struct, frozen=True):
    """`count` prompts of `intent` were classified as `got`."""

    intent: str
    got: str
    count: int


class Confusion(Struct, frozen=True):
    """Counts prompts by their right intent and by the intent that the classifier gave them, in `table[right][given]`.
    Both indices are positions in `names`.
    """

    names: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]

    def mistakes(self, limit: int = 20) -> list[Mistake]:
        """Return the mistakes, with the most frequent first."""
        names = self.names
        mistakes = [
            Mistake(names[row], names[column], count)
            for row, counts in enumerate(self.table)
            for column, count in enumerate(counts)
            if row != column and count
        ]
        return sorted(mistakes, key=lambda mistake: (-mistake.count, mistake.intent, mistake.got))[:limit]

    def weakest(self, limit: int = 10) -> list[tuple[str, float, int]]:
        """Return (intent, share, count) for each intent with prompts. `count` is the number of prompts, and `share` is
        the share of them that were recognised. The smallest share comes first.
        """
        rows = [(name, counts[place] / max(1, sum(counts)), sum(counts)) for place, (name, counts) in self._rows()]
        return sorted((row for row in rows if row[2]), key=lambda row: (row[1], row[0]))[:limit]

    def text(self) -> str:
        """Return a report of the weakest intents, and of the intents that their prompts got instead."""
        lines = ["recognised  prompts  intent"]
        lines += [f"{share:10.3f}  {count:7d}  {name}" for name, share, count in self.weakest()]
        lines += ["", "prompts  of -> taken for"]
        lines += [f"{mistake.count:7d}  {mistake.intent} -> {mistake.got}" for mistake in self.mistakes()]
        return "\n".join(lines) + "\n"

    def _rows(self) -> Iterable[tuple[int, tuple[str, tuple[int, ...]]]]:
        return enumerate(zip(self.names, self.table, strict=True))


def confusion(right: Sequence[str], got: Sequence[str]) -> Confusion:
    """Count the prompts for each combination of right and given intent. `right` and `got` have an entry for each
    prompt; "" means no intent.
    """
    counted = Counter(zip((name or NONE for name in right), (name or NONE for name in got), strict=True))
    names = tuple(sorted({name for pair in counted for name in pair}))
    return Confusion(names, tuple(tuple(counted[row, column] for column in names) for row in names))
