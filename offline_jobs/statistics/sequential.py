"""Tests whether a canary is worse than the stable version. The test may be repeated after every answer.

The test bets against the claim *the canary is no worse*, on blocks of consecutive answers. While the claim is true, the
probability that the stake ever reaches 1 / ALARM is at most ALARM, however often the stake is examined (Ville's
inequality). A t-test repeated after every answer would exceed its error rate. A block has n_c answers of the canary and
n_s answers of the stable version, with scores y. The block multiplies the stake by

    prod (y t_c / t + (1 - y) (1 - t_c) / (1 - t))   over the answers of the canary, and by
    prod (y t_s / t + (1 - y) (1 - t_s) / (1 - t))   over the answers of the stable version,

with t = (n_c t_c + n_s t_s) / (n_c + n_s). The guesses t_c < t_s of the two means come from the answers before the
block. If both versions have the same mean, the expected factor is at most 1, because its logarithm is concave in the
mean and largest at t. If the canary is better, the expected factor is smaller. This is the e-variable that grows
fastest if the guesses are right (Turner, Ly, Grünwald 2024, Generic E-variables for exact sequential k-sample tests,
CSDA 196). Wrong guesses reduce the power but do not raise the error rate. A change that affects both versions does not
raise the error rate either. benchmarks/drift.py and benchmarks/contracts.py measure power and false alarms.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

ALARM = 0.005
"""The limit on the probability of rolling back a canary that is not worse."""
CONTROL_ALARM = 0.03
"""The limit on the probability of stopping a template that is not worse than its controls.

This limit is higher than `ALARM`, because there are few controls. `benchmarks/controls.py` has the figures.
"""


class FirstGuess(Struct, frozen=True):
    """What is assumed before the first answers. Wrong guesses only reduce the power."""

    level: float = 0.75
    """The stable version's mean score."""
    level_weight: float = 2.0
    """The weight of this guess as a number of answers."""
    drop: float = 0.2
    """How much lower the canary's mean score is."""
    drop_weight: float = 40.0
    """The weight of this guess as a number of answers."""
    least: float = 0.05
    """The smallest assumed drop. A real drop counts as evidence if it is at least about half of this drop."""
    edge: float = 0.02
    """Guesses keep this distance from 0 and from 1, so that no single answer decides."""


SCORES = FirstGuess()
"""The guess for scores from feedback, checks and judges."""


class ScoredAnswer(Struct, frozen=True):
    """A scored answer of one of the two versions. The score is from 0 to 1."""

    canary: bool
    score: float


class SequentialVerdict(Struct, frozen=True):
    """The result of the test. `stake` is the highest stake that was reached. `worse` means that `stake` reached 1 /
    `alarm`."""

    worse: bool
    answers: int
    stake: float
    canary: float
    stable: float
    alarm: float = ALARM
    own: int = 0
    """The number of answers of the canary among `answers`."""

    def __str__(self) -> str:
        means = f"{self.canary:.3f} against {self.stable:.3f} over {self.answers} answers"
        return f"{means}, evidence {self.stake:.1f} of {1 / self.alarm:.0f}"


class AnswerBlock(Struct, frozen=True):
    """The scores of consecutive answers of both versions. The version that gives an answer is chosen
    before the answer is scored."""

    canary: Sequence[float]
    stable: Sequence[float]


def judged(
    answers: Iterable[ScoredAnswer],
    before: Sequence[float] = (),
    alarm: float = ALARM,
    guess: FirstGuess = SCORES,
) -> SequentialVerdict:
    """Return the verdict on the answers, in their order. Stops as soon as the canary is known to be worse.

    `before` has earlier scores of the stable version. They improve the first guess of its mean, but do not count as
    evidence. `alarm` limits the probability of calling a canary worse when it is not.
    """
    known = RunningMean(sum(before) + guess.level * guess.level_weight, len(before) + guess.level_weight)
    stake, highest, canary, stable = 1.0, 1.0, RunningMean(), RunningMean()
    for block in blocks(answers):
        expected = canary.total + guess.drop_weight * (known.mean - guess.drop)
        expected /= canary.count + guess.drop_weight
        stake *= growth(block, known.mean, min(expected, known.mean - guess.least), guess.edge)
        known, stable = known.with_all(block.stable), stable.with_all(block.stable)
        canary = canary.with_all(block.canary)
        highest = max(highest, stake)
        if highest >= 1 / alarm:
            break
    count = int(canary.count + stable.count)
    return SequentialVerdict(highest >= 1 / alarm, count, highest, canary.mean, stable.mean, alarm, int(canary.count))


def growth(block: AnswerBlock, stable: float, canary: float, edge: float = SCORES.edge) -> float:
    """Return the factor by which this block multiplies the stake. `stable` and `canary` are guesses of the mean
    scores."""
    t_s = min(1 - edge, max(2 * edge, stable))
    t_c = max(edge, min(canary, t_s - edge))
    n_c, n_s = len(block.canary), len(block.stable)
    t = (n_c * t_c + n_s * t_s) / (n_c + n_s)
    grown = 1.0
    for guess, scores in ((t_c, block.canary), (t_s, block.stable)):
        for y in scores:
            grown *= y * guess / t + (1 - y) * (1 - guess) / (1 - t)
    return grown


def blocks(answers: Iterable[ScoredAnswer]) -> Iterator[AnswerBlock]:
    """Cut the answers into blocks. A block ends once it has an answer of each version."""
    waiting: tuple[list[float], list[float]] = ([], [])
    for answer in answers:
        waiting[not answer.canary].append(answer.score)
        if all(waiting):
            yield AnswerBlock(*waiting)
            waiting = ([], [])


class RunningMean(Struct, frozen=True):
    total: float = 0.0
    count: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def with_all(self, scores: Sequence[float]) -> "RunningMean":
        return RunningMean(self.total + sum(scores), self.count + len(scores))
