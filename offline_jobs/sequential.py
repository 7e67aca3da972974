"""Is the canary worse? A test that may be looked at after every answer and still keeps its error.

A bet against *the canary is no worse than the stable version*: the stake grows with each pair in which it is. If the
claim is true, the stake reaches 1 / ALARM with a chance of at most ALARM, however often one looks (Ville's inequality;
Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting, JRSS B 86).
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

ALARM = 0.01
"""The chance that a canary which is no worse is ever rolled back."""
MARGIN = 0.02
"""Less than this is not worse."""
STAKES = (0.15, 0.3, 0.5, 0.7)


class Answer(Struct, frozen=True):
    """A scored answer, from 0 to 1, of one of the two."""

    canary: bool
    score: float


class Verdict(Struct, frozen=True):
    """`worse` from the first moment on that the evidence sufficed; `stake` is the highest it got to."""

    worse: bool
    pairs: int
    stake: float
    canary: float
    stable: float

    def __str__(self) -> str:
        means = f"{self.canary:.3f} against {self.stable:.3f} over {self.pairs} pairs"
        return f"{means}, evidence {self.stake:.1f} of {1 / ALARM:.0f}"


def judged(answers: Iterable[Answer]) -> Verdict:
    """Reads the answers in the order in which they came, until it is sure or there are no more."""
    bets = dict.fromkeys(STAKES, 1.0)
    pairs, highest, canary, stable = 0, 1.0, 0.0, 0.0
    for own, other in matched(answers):
        pairs += 1
        canary += own
        stable += other
        for stake in bets:
            # at most 1 + MARGIN is lost of a stake below 1 / (1 + MARGIN), so no bet goes below nothing
            bets[stake] *= 1 - stake * (own - other + MARGIN)
        highest = max(highest, sum(bets.values()) / len(bets))
        if highest >= 1 / ALARM:
            return Verdict(True, pairs, highest, canary / pairs, stable / pairs)
    return Verdict(False, pairs, highest, canary / max(1, pairs), stable / max(1, pairs))


def matched(answers: Iterable[Answer]) -> Iterator[tuple[float, float]]:
    """Each answer of the canary with the mean of the stable ones that came since the last pair.

    Each answer is used once, so that pairs say nothing of each other.
    """
    waiting: list[float] = []
    since: list[float] = []
    for answer in answers:
        (waiting if answer.canary else since).append(answer.score)
        if waiting and since:
            yield waiting.pop(0), _mean(since)
            since = []


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
