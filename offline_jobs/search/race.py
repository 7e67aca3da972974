"""Finds the best of several candidates with few answers, by successive halving.

All candidates answer a few rows. In each further round, the better half answers twice as many rows. The answers of
earlier rounds count too, and only the last two candidates answer every row. The method is by Karnin, Koren and Somekh
2013, Almost Optimal Exploration in Multi-Armed Bandits.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Arm = TypeVar("Arm", bound=Hashable)
SHARE_AT_FIRST, FEWEST = 6, 3


def race(arms: Sequence[Arm], rows: int, score: Callable[[Arm, int], float]) -> list[Arm]:
    """Return the arms, the best first. Equal arms keep their order. `score(arm, n)` returns the mean score of an arm on
    the first n rows."""
    left, out = list(arms), list[Arm]()
    for seen in _rounds(rows):
        means = {arm: score(arm, seen) for arm in left}
        left.sort(key=lambda arm: -means[arm])
        if len(left) > 2:  # the last two arms answer all rows, since on few rows chance decides
            half = max(2, (len(left) + 1) // 2)
            left, out = left[:half], left[half:] + out
    return left + out


def answers_needed(arms: int, rows: int) -> int:
    """Return the number of answers that a race needs."""
    total, before = 0, 0
    for seen in _rounds(rows):
        total += arms * (seen - before)
        before, arms = seen, min(arms, max(2, (arms + 1) // 2))
    return total


def _rounds(rows: int) -> list[int]:
    """Return for each round the number of rows that a candidate has answered at its end."""
    rounds = [min(rows, max(FEWEST, rows // SHARE_AT_FIRST))]
    while rounds[-1] < rows:
        rounds.append(min(rows, 2 * rounds[-1]))
    return rounds
