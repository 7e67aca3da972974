"""Compares two windows of exchanges aspect by aspect, with tests from scipy.

An alarm needs a difference that is large enough, and that is still significant after Holm's correction for the number
of aspects.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from scipy import stats
from sklearn.cluster import KMeans

ALARM = 0.002
"""The limit on the probability of a false alarm, for all aspects of a window together."""
FEWEST = 50
RARE = 0.001
CLUSTERS, A_CLUSTER = 40, 25
"""The largest number of prompt clusters, and the smallest average number of prompts in a cluster."""
RESIDUAL = 3.0


class ComparedWindow(Struct):
    """The values to compare. Lists have one entry per exchange; `scores` has one per scored exchange."""

    intents: list[str] = []
    templates: list[str] = []
    milliseconds: list[float] = []
    prompt_tokens: list[float] = []
    answer_tokens: list[float] = []
    cost: list[float] = []
    scores: list[float] = []
    prompts: list[str] = []
    """A sample of the prompts. The prompts are embedded later."""


class Change(Struct, frozen=True):
    """The comparison of one aspect. `size` is the effect size, from 0 to 1. An alarm needs an effect size of at least
    `needed`."""

    name: str
    test: str
    p: float
    size: float
    needed: float
    before: str
    now: str
    alarm: bool = False
    concerns: tuple[str, ...] = ()


def counted(name: str, before: Sequence[str], now: Sequence[str], needed: float = 0.1) -> Change | None:
    """Compare the shares of names in two windows by the chi-squared test and Cramér's V.

    `concerns` lists the names whose share has changed. Returns None if there are too few values.
    """
    counts = [Counter(before), Counter(now)]
    total = len(before) + len(now)
    names = [name for name, count in (counts[0] + counts[1]).most_common() if count >= max(5, RARE * total)]
    if min(len(before), len(now)) < FEWEST or len(names) < 2:
        return None
    table = np.array([[count[name] for name in names] for count in counts], float)
    test = stats.chi2_contingency(table)
    size = float(np.sqrt(test.statistic / table.sum()))
    residuals = (table[1] - test.expected_freq[1]) / np.sqrt(test.expected_freq[1])
    moved = sorted(
        (place for place in range(len(names)) if abs(residuals[place]) >= RESIDUAL), key=lambda at: -abs(residuals[at])
    )
    shown = tuple(names[place] or "(none)" for place in moved)
    return Change(
        name,
        "chi-squared, Cramér's V",
        float(test.pvalue),
        size,
        needed,
        f"{len(before):,}",
        f"{len(now):,}",
        concerns=shown,
    )


def measured(name: str, before: Sequence[float], now: Sequence[float], needed: float = 0.1) -> Change | None:
    """Compare the numbers of two windows by the Kolmogorov-Smirnov test. Returns None if there are too few values.

    The effect size is the largest distance between the two distribution functions.
    """
    if min(len(before), len(now)) < FEWEST:
        return None
    test = stats.ks_2samp(before, now)
    return Change(
        name,
        "Kolmogorov-Smirnov",
        float(test.pvalue),
        float(test.statistic),
        needed,
        f"{np.median(before):,.4g}",
        f"{np.median(now):,.4g}",
    )


def placed(before: Any, now: Any) -> tuple[Any, Any]:
    """Return the cluster number of each prompt, by k-means over both windows together.

    before: [n, d], now: [m, d] -> [n], [m]. If the traffic has not changed, the two windows' shares of a cluster differ
    only by chance. A new kind of prompt forms a new cluster or enlarges one.
    """
    both = np.concatenate([before, now])
    count = max(2, min(CLUSTERS, len(both) // A_CLUSTER))
    labels = KMeans(count, n_init=2, random_state=0).fit_predict(both)
    return labels[: len(before)], labels[len(before) :]


def alarmed(changes: Sequence[Change], alarm: float = ALARM) -> list[Change]:
    """Return the changes with their alarms.

    A change raises an alarm if it is significant by Holm's procedure and its effect size is at least `needed`.
    """
    order = sorted(range(len(changes)), key=lambda place: changes[place].p)
    sure: set[int] = set()
    for rank, place in enumerate(order):
        if changes[place].p > alarm / (len(changes) - rank):
            break
        sure.add(place)
    return [_with_alarm(change, place in sure and change.size >= change.needed) for place, change in enumerate(changes)]


def compared(before: ComparedWindow, now: ComparedWindow) -> list[Change]:
    """Compare all aspects except the prompts, for which vectors are needed. Aspects with too few values are
    left out."""
    changes: Mapping[str, Change | None] = {
        "intents": counted("intents", before.intents, now.intents),
        "templates": counted("templates", before.templates, now.templates),
        "milliseconds": measured("milliseconds", before.milliseconds, now.milliseconds),
        "prompt tokens": measured("prompt tokens", before.prompt_tokens, now.prompt_tokens),
        "answer tokens": measured("answer tokens", before.answer_tokens, now.answer_tokens),
        "cost": measured("cost", before.cost, now.cost) if any(before.cost) or any(now.cost) else None,
        "scores": measured("scores", before.scores, now.scores),
    }
    return [change for change in changes.values() if change is not None]


def _with_alarm(change: Change, alarm: bool) -> Change:
    return replace(change, alarm=alarm, concerns=change.concerns if alarm else ())
