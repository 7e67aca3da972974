"""Examines a judge with 200 pairs. Each pair has a right and a wrong answer.

The judge sees each pair in both orders, and must prefer the right answer both times. A judge may score answers for the
gain table if it judges three quarters of the pairs correctly.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.ask import Turn
from gateway.exchange import Sampling, Target
from gateway.prompt.measure.pairs import AnswerPair, PairScorer

FILE = Path(__file__).parent / "known_order.jsonl"
NEEDED = 0.75
CALLS_A_PAIR = 2


class KnownPair(Struct, frozen=True):
    """A request with a better and a worse answer."""

    request: str
    better: str
    worse: str


class JudgeExam(Struct, frozen=True):
    """The result of a judge's exam. The judge ordered `right` of `pairs` pairs correctly."""

    judge: str
    right: int
    pairs: int

    @property
    def passes(self) -> bool:
        return self.pairs > 0 and self.right >= NEEDED * self.pairs

    def __str__(self) -> str:
        return f"{self.judge} put {self.right} of {self.pairs} pairs of known order right; {NEEDED:.0%} are needed"


@cache
def known_pairs() -> Sequence[KnownPair]:
    """Return the pairs for the exam. They come with the package."""
    decoder = msgspec.json.Decoder(KnownPair)
    return tuple(decoder.decode(line) for line in FILE.read_bytes().splitlines())


async def examine(judge: str, target: Target, scorer: PairScorer, tick: Callable[[], None]) -> JudgeExam:
    """Ask the judge about all pairs, and return the result. Raises `RequestError`.

    In every second pair, the better answer is given to the scorer as the first answer.
    """
    right = 0
    for number, known in enumerate(known_pairs()):
        asked = AnswerPair(f"known-{number}", ("", "", ""), target, (Turn("user", known.request),), (), Sampling.NONE)
        first, second = (known.better, known.worse) if number % 2 else (known.worse, known.better)
        verdict = await scorer.judged(asked, first, second)
        right += (verdict if number % 2 else -verdict) > 0.5
        tick()
    return JudgeExam(judge, right, len(known_pairs()))


def read_exam(path: Path, judge: str) -> JudgeExam | None:
    """Return the result of this judge's earlier exam, or None. An exam with another number of pairs does not count."""
    return next((exam for exam in _exams(path) if exam.judge == judge and exam.pairs == len(known_pairs())), None)


def keep_exam(path: Path, exam: JudgeExam) -> None:
    others = [other for other in _exams(path) if other.judge != exam.judge]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode([*others, exam]), indent=1))


def _exams(path: Path) -> list[JudgeExam]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[JudgeExam])
    except (OSError, msgspec.MsgspecError):
        return []  # the file cannot be used, so the judge is examined again
