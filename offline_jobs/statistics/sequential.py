"""Is the canary worse? A test that may be looked at after every answer and still keeps its error.

A bet against *the canary is no worse than the stable version*, on blocks of answers that came one after the other. If
the claim is true the stake reaches 1 / ALARM with a chance of at most ALARM, however often one looks (Ville's
inequality). In a block of n_c and n_s answers the stake is multiplied by

    prod y t_c / t + (1 - y) (1 - t_c) / (1 - t)   over the canary's,   the same with t_s over the stable ones,

with t = (n_c t_c + n_s t_s) / (n_c + n_s) for guesses t_c < t_s of the two means, made from the answers before the
block. Whatever mean both have, its expectation is at most 1: its logarithm is concave in that mean and greatest at t. A
better canary makes it less. It is the e-variable that grows fastest where the guesses are right (Turner, Ly, Grünwald
2024, Generic E-variables for exact sequential k-sample tests, CSDA 196); wrong guesses cost power, never the error, and
neither do times in which both get better or worse.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

ALARM = 0.005
"""The chance that a canary which is no worse is ever rolled back."""
LEVEL, LEVEL_WEIGHT = 0.75, 2.0
"""What the stable version's mean is guessed to be where nothing is known, and how many answers that guess weighs."""
DROP, DROP_WEIGHT = 0.2, 40.0
"""How much worse the canary is guessed to be until its own answers say."""
LEAST = 0.05
"""A smaller drop is not guessed: half of it would be taken for a reason."""
EDGE = 0.02
"""No guess is nearer to 0 or 1, so that one answer never decides alone."""


class ScoredAnswer(Struct, frozen=True):
    """A scored answer, from 0 to 1, of one of the two."""

    canary: bool
    score: float


class SequentialVerdict(Struct, frozen=True):
    """`worse` from the first moment on that the evidence sufficed; `stake` is the highest it got to."""

    worse: bool
    answers: int
    stake: float
    canary: float
    stable: float

    def __str__(self) -> str:
        means = f"{self.canary:.3f} against {self.stable:.3f} over {self.answers} answers"
        return f"{means}, evidence {self.stake:.1f} of {1 / ALARM:.0f}"


class AnswerBlock(Struct, frozen=True):
    """Answers of both that came one after the other. Who they are of was settled before they were scored."""

    canary: Sequence[float]
    stable: Sequence[float]


def judged(answers: Iterable[ScoredAnswer], before: Sequence[float] = ()) -> SequentialVerdict:
    """Reads the answers in the order in which they came, until it is sure or there are no more.

    `before`: scores of the stable version from before the canary spoke. They are no evidence, but a good guess.
    """
    known = RunningMean(sum(before) + LEVEL * LEVEL_WEIGHT, len(before) + LEVEL_WEIGHT)
    stake, highest, canary, stable = 1.0, 1.0, RunningMean(), RunningMean()
    for block in blocks(answers):
        guess = (canary.total + DROP_WEIGHT * (known.mean - DROP)) / (canary.count + DROP_WEIGHT)
        stake *= growth(block, known.mean, min(guess, known.mean - LEAST))
        known, stable = known.with_all(block.stable), stable.with_all(block.stable)
        canary = canary.with_all(block.canary)
        highest = max(highest, stake)
        if highest >= 1 / ALARM:
            break
    return SequentialVerdict(highest >= 1 / ALARM, int(canary.count + stable.count), highest, canary.mean, stable.mean)


def growth(block: AnswerBlock, stable: float, canary: float) -> float:
    """What the stake is multiplied by, for these guesses of the means."""
    t_s = min(1 - EDGE, max(2 * EDGE, stable))
    t_c = max(EDGE, min(canary, t_s - EDGE))
    n_c, n_s = len(block.canary), len(block.stable)
    t = (n_c * t_c + n_s * t_s) / (n_c + n_s)
    grown = 1.0
    for guess, scores in ((t_c, block.canary), (t_s, block.stable)):
        for y in scores:
            grown *= y * guess / t + (1 - y) * (1 - guess) / (1 - t)
    return grown


def blocks(answers: Iterable[ScoredAnswer]) -> Iterator[AnswerBlock]:
    """A block ends as soon as both have spoken in it. Each answer is in one: blocks say nothing of each other."""
    waiting: tuple[list[float], list[float]] = ([], [])
    for answer in answers:
        waiting[not answer.canary].append(answer.score)
        if all(waiting):
            yield AnswerBlock(*waiting)
            waiting = ([], [])


class RunningMean(Struct, frozen=True):
    """A mean so far."""

    total: float = 0.0
    count: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def with_all(self, scores: Sequence[float]) -> "RunningMean":
        return RunningMean(self.total + sum(scores), self.count + len(scores))
