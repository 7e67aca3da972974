"""Which of several is best, where every look costs: all answer a few rows, and the better half answers twice as many.

Successive halving: Karnin, Koren and Somekh 2013, Almost Optimal Exploration in Multi-Armed Bandits. What was seen in
one round counts in the next, so that only the last two have answered every row.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Arm = TypeVar("Arm", bound=Hashable)
SHARE_AT_FIRST, FEWEST = 6, 3


def race(arms: Sequence[Arm], rows: int, score: Callable[[Arm, int], float]) -> list[Arm]:
    """The arms, the best first; of equals the earlier. `score(arm, n)` is the mean of an arm on the first n rows."""
    left, out = list(arms), list[Arm]()
    for seen in _rounds(rows):
        means = {arm: score(arm, seen) for arm in left}
        left.sort(key=lambda arm: -means[arm])
        if len(left) > 2:  # two go all the way: one of them alone would have won by its luck
            half = max(2, (len(left) + 1) // 2)
            left, out = left[:half], left[half:] + out
    return left + out


def looks(arms: int, rows: int) -> int:
    """How many answers a race takes."""
    total, before = 0, 0
    for seen in _rounds(rows):
        total += arms * (seen - before)
        before, arms = seen, min(arms, max(2, (arms + 1) // 2))
    return total


def _rounds(rows: int) -> list[int]:
    """How many rows have been seen by the end of each round."""
    seen = min(rows, max(FEWEST, rows // SHARE_AT_FIRST))
    found = [seen]
    while seen < rows:
        seen = min(rows, 2 * seen)
        found.append(seen)
    return found
