"""ROUGE-1, -2 and -L (Lin 2004), as F1 over lower-case words, without stemming.

The figures equal those of `rouge-score` without its stemmer. With the stemmer they are some points higher.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

NAMES = ("ROUGE-1", "ROUGE-2", "ROUGE-L")
WORD = re.compile(r"[a-z0-9]+")
Words = Sequence[str]


def rouge(said: str, reference: str) -> tuple[float, float, float]:
    """Return the three scores in the order of `NAMES`, each from 0 to 1."""
    a, b = WORD.findall(said.lower()), WORD.findall(reference.lower())
    return (
        _f1(_common(a, b), len(a), len(b)),
        _f1(_common(list(pairwise(a)), list(pairwise(b))), len(a) - 1, len(b) - 1),
        _f1(longest_common(a, b), len(a), len(b)),
    )


def longest_common(a: Words, b: Words) -> int:
    """Return the length of the longest common subsequence, by Hyyrö's bit vectors: one integer is one row of the
    table."""
    places: dict[str, int] = {}
    for place, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(a)) - 1
    row = every  # a zero for each place where the subsequence grows
    for word in b:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & every
    return len(a) - row.bit_count()


def _common(a: Sequence[object], b: Sequence[object]) -> int:
    return (Counter(a) & Counter(b)).total()


def _f1(common: int, said: int, wanted: int) -> float:
    return 2 * common / (said + wanted) if common else 0.0
