"""Merges the lists that a model made from the parts of a text. Code counts the items; the model does not."""

import re
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from gateway.exchange import Chunk

LIST_SHARE = 0.8
"""The results count as lists if at least this share of their lines are list items."""
_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,4}[.)、])\s*(?P<item>\S.*?)\s*$")


class MergedList(Struct, frozen=True):
    """The distinct items of all parts, in order. Each item comes with the number of times that it was listed."""

    items: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        return sum(times for _, times in self.items)

    def text(self) -> str:
        """Return a text with one item on each line. If an item was listed several times, the number of times follows
        the item.
        """
        return "\n".join(f"- {item}" + (f" (×{times})" if times > 1 else "") for item, times in self.items)


def merged_list(results: Sequence[Chunk]) -> MergedList | None:
    """Return the merged list of all results, or None if the results are not lists."""
    lines = [line for result in results for line in result.text.split("\n") if line.strip()]
    matches = [match for line in lines if (match := _ITEM.match(line))]
    if len(matches) < 2 or len(matches) < LIST_SHARE * len(lines):
        return None
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for match in matches:
        item = match["item"]
        key = item.casefold().rstrip(".;,。；，")
        first.setdefault(key, item)
        counts[key] += 1
    return MergedList(tuple((item, counts[key]) for key, item in first.items()))
