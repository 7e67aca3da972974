"""Statistics on scores from 0 to 1: is one set of answers better than another, and are the data enough to tell?

The functions work on counts of distinct scores in plain Python, so a million exchanges need no more memory than a
thousand. scipy would cost 1.5 s of CPU and 86 MB to import; tests compare each function with scipy's.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from random import Random

from msgspec import Struct

Z95 = 1.959963984540054
Z_POWER = 0.8416212335729143
"""The standard normal quantile for a power of 80 %."""
DIGITS = 3
RESAMPLES = 5000
BOOTSTRAP_UP_TO = 1000
"""If a side has more scores than this, the normal interval is used, because it agrees with the bootstrap."""
WORTHWHILE = 0.05
"""The smallest difference between means that matters."""
LEVEL = 0.05
"""A difference counts as certain if its p-value is below this level and its whole interval is on one side of 0."""
FEWEST = 10


class Scores(Struct, frozen=True):
    """How often each score was given. Scores are rounded to three digits."""

    counts: Mapping[float, int] = {}

    @classmethod
    def of(cls, scores: Iterable[float]) -> "Scores":
        return cls(Counter(round(score, DIGITS) for score in scores))

    @property
    def n(self) -> int:
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        return sum(score * count for score, count in self.counts.items()) / self.n if self.n else math.nan

    @property
    def variance(self) -> float:
        """The sample variance, with n - 1 in the divisor."""
        mean, n = self.mean, self.n
        return sum(count * (score - mean) ** 2 for score, count in self.counts.items()) / (n - 1) if n > 1 else 0.0

    @property
    def binary(self) -> bool:
        return self.counts.keys() <= {0.0, 1.0}


class Difference(Struct, frozen=True):
    """The difference between two means (first minus second), its 95 % interval, and the p-value of the hypothesis that
    the samples do not differ."""

    difference: float
    low: float
    high: float
    p: float
    method: str
    needed: int
    """How many scores each side needs to detect the difference with 80 % power (see `needed_a_side`)."""


def difference(first: Scores, second: Scores, random: Random) -> Difference:
    """Compare the means of two independent, non-empty samples."""
    needed = needed_a_side(first, second)
    seen = first.mean - second.mean
    if first.binary and second.binary:
        low, high = newcombe(_ones(first), first.n, _ones(second), second.n)
        p = fisher(_ones(first), first.n, _ones(second), second.n)
        return Difference(seen, low, high, p, "Newcombe, Fisher", needed)
    p = mann_whitney(first, second)
    if max(first.n, second.n) <= BOOTSTRAP_UP_TO:
        low, high = bootstrap(first, second, random)
        return Difference(seen, low, high, p, "bootstrap, Mann-Whitney", needed)
    half = Z95 * math.sqrt(first.variance / first.n + second.variance / second.n)
    return Difference(seen, seen - half, seen + half, p, "normal, Mann-Whitney", needed)


def wilson(ones: int, n: int) -> tuple[float, float]:
    """Return the lower and upper bound of the 95 % score interval for the share `ones / n` (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = ones / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(ones_a: int, n_a: int, ones_b: int, n_b: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference between two shares, computed from the Wilson interval of each share
    (Newcombe 1998, method 10)."""
    a, b = ones_a / n_a, ones_b / n_b
    low_a, high_a = wilson(ones_a, n_a)
    low_b, high_b = wilson(ones_b, n_b)
    low = a - b - math.hypot(a - low_a, high_b - b)
    return max(-1.0, low), min(1.0, a - b + math.hypot(high_a - a, b - low_b))


def fisher(ones_a: int, n_a: int, ones_b: int, n_b: int) -> float:
    """Return the two-sided p-value of Fisher's exact test: the total probability of all tables that are at most as
    probable as the observed one."""
    ones = ones_a + ones_b
    total = _log_choose(n_a + n_b, ones)

    def probability(k: int) -> float:
        return math.exp(_log_choose(n_a, k) + _log_choose(n_b, ones - k) - total)

    here = probability(ones_a) * (1 + 1e-7)
    fewest, most = max(0, ones - n_b), min(n_a, ones)
    return min(1.0, math.fsum(chance for k in range(fewest, most + 1) if (chance := probability(k)) <= here))


def mann_whitney(first: Scores, second: Scores) -> float:
    """Return the two-sided p-value of the rank-sum test, by a normal approximation with corrections for ties and
    continuity."""
    n_a, n_b = first.n, second.n
    n = n_a + n_b
    u, below, ties = 0.0, 0, 0
    for score in sorted({*first.counts, *second.counts}):
        a, b = first.counts.get(score, 0), second.counts.get(score, 0)
        u += a * (below + b / 2)
        below += b
        ties += (a + b) ** 3 - (a + b)
    spread = n_a * n_b / 12 * (n + 1 - ties / (n * (n - 1))) if n > 1 else 0.0
    if spread <= 0:
        return 1.0
    z = max(0.0, abs(u - n_a * n_b / 2) - 0.5) / math.sqrt(spread)
    return _two_sided(z)


def bootstrap(first: Scores, second: Scores, random: Random) -> tuple[float, float]:
    """Return the 95 % percentile interval of the difference between the means."""
    a, b = _means(first, random), _means(second, random)
    return _middle([x - y for x, y in zip(a, b, strict=True)])


def needed_a_side(first: Scores, second: Scores) -> int:
    """Return how many scores each side needs to detect a difference with 80 % power, in a two-sided test at the 5 %
    level.

    The difference is the observed one, but at least `WORTHWHILE`.
    """
    size = max(abs(first.mean - second.mean), WORTHWHILE)
    spread = _cautious(first).variance + _cautious(second).variance
    return math.ceil((Z95 + Z_POWER) ** 2 * spread / size**2)


class Paired(Struct, frozen=True):
    """The mean of the differences within pairs, its 95 % bootstrap interval, and the p-value of the hypothesis that the
    mean is 0."""

    pairs: int
    mean: float
    low: float
    high: float
    p: float

    @property
    def is_higher(self) -> bool:
        """Whether the mean is above 0 with certainty."""
        return self.p < LEVEL and self.low > 0

    @property
    def is_lower(self) -> bool:
        """Whether the mean is below 0 with certainty."""
        return self.p < LEVEL and self.high < 0


def paired(differences: Sequence[float], random: Random) -> Paired:
    """Test the differences within pairs, each from -1 to 1.

    If all differences are -1, 0 or 1, `p` comes from McNemar's exact test, otherwise from a permutation test.
    """
    seen = Scores.of(differences)
    if not seen.n:
        return Paired(0, 0.0, -1.0, 1.0, 1.0)
    low, high = _middle(_means(seen, random))
    if seen.counts.keys() <= {-1.0, 0.0, 1.0}:
        p = mcnemar(seen.counts.get(1.0, 0), seen.counts.get(-1.0, 0))
    else:
        p = sign_flip(differences, random)
    return Paired(seen.n, seen.mean, low, high, p)


def mcnemar(better: int, worse: int) -> float:
    """Return the two-sided p-value of McNemar's exact test. `better` and `worse` are the numbers of pairs that differ
    in each direction."""
    n = better + worse
    tail = math.fsum(math.exp(_log_choose(n, k) - n * math.log(2)) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail)


def sign_flip(differences: Sequence[float], random: Random) -> float:
    """Return the two-sided p-value of a permutation test that flips the signs of differences at random."""
    sizes = [abs(size) for size in differences if size]
    observed = abs(math.fsum(differences)) - 1e-9
    extreme = 0
    for _ in range(RESAMPLES):
        bits = random.getrandbits(max(1, len(sizes)))
        extreme += abs(sum(size if bits >> at & 1 else -size for at, size in enumerate(sizes))) >= observed
    return (extreme + 1) / (RESAMPLES + 1)


def _means(scores: Scores, random: Random) -> list[float]:
    values, weights, n = list(scores.counts), list(scores.counts.values()), scores.n
    return [math.fsum(random.choices(values, weights, k=n)) / n for _ in range(RESAMPLES)]


def _middle(sample: Sequence[float]) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantiles of a sample."""
    ordered = sorted(sample)
    last = len(ordered) - 1
    return ordered[round(0.025 * last)], ordered[round(0.975 * last)]


def _cautious(scores: Scores) -> Scores:
    """Add one score of 0 and one score of 1, so that the variance is not underestimated. Three right answers do not
    prove that all answers are right."""
    return Scores(Counter(scores.counts) + Counter({0.0: 1, 1.0: 1}))


def _ones(scores: Scores) -> int:
    return scores.counts.get(1.0, 0)


def _two_sided(z: float) -> float:
    return math.erfc(z / math.sqrt(2))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
