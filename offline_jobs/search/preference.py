"""Scores answers whose right answer is unknown, by a judge that compares them with those of the present version."""

from collections.abc import Sequence

from msgspec.structs import replace

from offline_jobs.datasets.judge_answers import preferred
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.models import Loop
from offline_jobs.search.score import VALID, AnswerScore

MERIT = 1 - VALID
JUDGED = 3
"""The number of calls per row if a judge compares answers: one call for the answer, two for the judge."""


def calls_a_row(rows: Sequence[DatasetRow], judge: str) -> int:
    """Return the number of calls that one row needs."""
    return JUDGED if judge and not all(row.wanted for row in rows) else 1


def by_preference(
    loop: Loop, judge: str, rows: Sequence[DatasetRow], outcomes: Sequence[AnswerScore], others: Sequence[str]
) -> list[AnswerScore]:
    """Let the judge compare each answer with another one, in both orders. A tie scores 0.5. Rows with a right answer
    keep their score.
    """

    async def merit(pair: tuple[DatasetRow, AnswerScore, str]) -> AnswerScore:
        row, outcome, other = pair
        if row.wanted:
            return outcome
        preference = await preferred(loop.models, judge, row.query, outcome.answer, other)
        correct = 0.5 + preference / 2
        return replace(outcome, correct=correct, score=outcome.score + MERIT * (correct - outcome.valid))

    return loop.all(merit, list(zip(rows, outcomes, others, strict=True)))
