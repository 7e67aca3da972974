"""Finds the best of several candidates with few answers, by successive halving.

All candidates answer a few rows. In each later round, the better half of the candidates answers twice as many rows as
before. Earlier answers count too, and only the last two candidates answer every row. The method is from Karnin, Koren
and Somekh 2013, Almost Optimal Exploration in Multi-Armed Bandits.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Arm = TypeVar("Arm", bound=Hashable)
SHARE_AT_FIRST, FEWEST = 6, 3


def race(arms: Sequence[Arm], rows: int, score: Callable[[Arm, int], float]) -> list[Arm]:
    """Return the arms, best first. Arms with equal scores keep their order.

    `score(arm, n)` is an arm's mean score on the first n rows.
    """
    left, out = list(arms), list[Arm]()
    for seen in _rounds(rows):
        means = {arm: score(arm, seen) for arm in left}
        left.sort(key=lambda arm: -means[arm])
        if len(left) > 2:  # the last two arms answer all rows: on few rows, chance decides
            half = max(2, (len(left) + 1) // 2)
            left, out = left[:half], left[half:] + out
    return left + out


def answers_needed(arms: int, rows: int) -> int:
    """Return the total number of answers in a race of `arms` candidates over `rows` rows."""
    total, before = 0, 0
    for seen in _rounds(rows):
        total += arms * (seen - before)
        before, arms = seen, min(arms, max(2, (arms + 1) // 2))
    return total


def _rounds(rows: int) -> list[int]:
    """Return how many rows each remaining candidate has answered after each round."""
    rounds = [min(rows, max(FEWEST, rows // SHARE_AT_FIRST))]
    while rounds[-1] < rows:
        rounds.append(min(rows, 2 * rounds[-1]))
    return rounds
