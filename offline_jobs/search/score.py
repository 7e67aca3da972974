"""Scores answers in grades.

During a search, the form of answers improves before their content. A score that only tells right from wrong would hide
this progress.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from gateway.prompt.answers.checks import failures
from gateway.prompt.answers.judge import matches, passed
from gateway.prompt.templates.fields import Check
from offline_jobs.datasets.rows import DatasetRow

VALID, CORRECT, NEAR = 0.25, 0.65, 0.10
TOKENS_FOR_ALL = 20_000
"""A prompt of this many tokens lowers the score by 1. A shorter prompt lowers the score in proportion."""
MOST_LABELS = 64
SHOWN = 200


class AnswerScore(Struct, frozen=True):
    """The score of one answer. The search maximises `score`; the verdict counts `correct`.

    `feedback` tells a proposer what was wrong.
    """

    score: float
    valid: float
    correct: float
    tokens: int = 0
    took_us: int = 0
    answer: str = ""
    feedback: str = ""


class AnswerMeasure(Struct, frozen=True):
    """Scores the answers for one dataset. `labels` has all right answers if they are a closed set, else it is empty."""

    labels: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    def weigh(self, row: DatasetRow, answer: str, tokens: int, took_us: int) -> AnswerScore:
        valid, why = self._valid(row, answer)
        correct = matches(answer, row.wanted) if row.wanted else valid
        near = overlap(answer, row.wanted) if row.wanted else valid
        score = VALID * valid + CORRECT * correct + NEAR * near - tokens / TOKENS_FOR_ALL
        feedback = "" if correct == 1 and not why else f"{why}{self._wrong(row, correct)}".strip()
        return AnswerScore(score, valid, correct, tokens, took_us, answer, feedback)

    def _valid(self, row: DatasetRow, answer: str) -> tuple[float, str]:
        share = passed(answer, self.checks)
        if share is not None:
            return share, " ".join(f"{what}." for what in failures(answer, self.checks))
        if self.labels:
            form = any(matches(answer, label) for label in self.labels)
            return float(form), "" if form else f"The answer is none of: {', '.join(self.labels)}. "
        longest = 4 * len(row.wanted) + 40
        fits = bool(answer.strip()) and (not row.wanted or len(answer) <= longest)
        return float(fits), "" if fits else "The answer is empty or far longer than the right one. "

    def _wrong(self, row: DatasetRow, correct: float) -> str:
        return f"Wanted: {row.wanted[:SHOWN]!r}." if row.wanted and correct < 1 else ""


def measure_of(rows: Sequence[DatasetRow], checks: Sequence[Check]) -> AnswerMeasure:
    """Return the measure for these rows.

    The right answers count as a closed set of labels if they are few and each occurs at least twice on average.
    """
    answers = Counter(row.wanted.strip() for row in rows if row.wanted)
    closed = bool(answers) and len(answers) <= MOST_LABELS and 2 * len(answers) <= answers.total()
    return AnswerMeasure(tuple(sorted(answers)) if closed else (), tuple(checks))


def overlap(answer: str, right: str) -> float:
    """Return the F1 score of the words of two texts, from 0 to 1."""
    ours, theirs = Counter(answer.casefold().split()), Counter(right.casefold().split())
    common = (ours & theirs).total()
    return 2 * common / (ours.total() + theirs.total()) if common else 0.0
