"""Computes exact Shapley values of labelled examples in a nearest-neighbour vote.

The method is theorem 1 of Jia et al. 2019, Efficient task-specific data valuation for nearest neighbor algorithms,
PVLDB 12(11). The examples are sorted once per query, and no model is called. An example with a value below zero harms
the vote on average.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def worth(examples: Any, labels: Any, queries: Any, answers: Any, k: int) -> Values:
    """Return the Shapley value of each example for the vote of the `k` nearest examples.

    The rows of `examples` and `queries` are unit vectors.

    examples: [n, d]; labels: [n]; queries: [m, d]; answers: [m], the right labels -> [n]
    """
    n = len(examples)
    total = np.zeros(n, np.float64)
    for query, right in zip(queries, answers, strict=True):
        order = np.argsort(-(examples @ query), kind="stable")
        total[order] += _values(labels[order] == right, k)
    return total / max(1, len(queries))


def _values(right: NDArray[np.bool_], k: int) -> Values:
    """Return the values for one query, by the theorem's recursion from the farthest example to the nearest.

    right: [n], whether each label is right, nearest example first -> [n]
    """
    n = len(right)
    hits = right.astype(np.float64)
    places = np.arange(1, n)
    steps = (hits[:-1] - hits[1:]) / k * np.minimum(k, places) / places
    last = hits[-1] / n
    return np.append(np.cumsum(steps[::-1])[::-1] + last, last)


def vote(examples: Any, labels: Any, queries: Any, k: int) -> list[Any]:
    """Return for each query the most frequent label of the `k` nearest examples.

    If labels are equally frequent, the label of the nearest example wins. The rows of `examples` and `queries` are unit
    vectors.

    examples: [n, d]; labels: [n]; queries: [m, d] -> m labels
    """
    votes = []
    for query in queries:
        near = labels[np.argsort(-(examples @ query), kind="stable")[:k]].tolist()
        votes.append(max(near, key=lambda label: (near.count(label), -near.index(label))))
    return votes
