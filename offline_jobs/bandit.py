"""Which of several is best, where every look costs: successive rejects.

Audibert, Bubeck and Munos 2010, Best Arm Identification in Multi-Armed Bandits: each phase looks at all that are left
equally often and drops the worst.
"""

from collections.abc import Callable, Hashable, Sequence
from math import ceil
from typing import TypeVar

Arm = TypeVar("Arm", bound=Hashable)


def best_arm(arms: Sequence[Arm], looks: int, look: Callable[[Arm, int], float]) -> tuple[Arm, dict[Arm, list[float]]]:
    """The best of the arms after at most `looks` looks, and what was seen of each. `look(arm, n)` is its n-th look."""
    seen: dict[Arm, list[float]] = {arm: [] for arm in arms}
    left = list(arms)
    done = 0
    for phase in range(1, len(arms)):
        until = _looks_by(phase, len(arms), looks)
        for arm in left:
            for number in range(len(seen[arm]), until):
                if done == looks:
                    break
                seen[arm].append(look(arm, number))
                done += 1
        worst = min(reversed(left), key=lambda arm: _mean(seen[arm]))
        left.remove(worst)
    return left[0], seen


def _looks_by(phase: int, arms: int, looks: int) -> int:
    """How often each arm that is left has been looked at by the end of a phase."""
    spread = 0.5 + sum(1 / number for number in range(2, arms + 1))
    return max(1, ceil((looks - arms) / (spread * (arms + 1 - phase)))) if looks > arms else 1


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("-inf")
