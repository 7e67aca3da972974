"""Judges versions of one found prompt on recorded rows: the score of each answer, broken contracts, and the bill."""

import time
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.adopt import FoundTemplate
from gateway.prompt.found.contract import AnswerContract, breach
from gateway.records.scores import WORTHWHILE
from gateway.settings.prices import ModelPrice, price_at
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.models import Loop
from offline_jobs.found.bill import RequestBill, bill
from offline_jobs.found.candidates import FoundCandidate
from offline_jobs.found.trial import FoundAnswer, FoundTrial
from offline_jobs.search.preference import by_preference
from offline_jobs.search.score import AnswerMeasure, AnswerScore


class Judgement(Struct, frozen=True):
    """The answers of one version to some rows, judged."""

    scores: list[AnswerScore]
    broken: list[bool]
    bill: RequestBill

    @property
    def right(self) -> float:
        return sum(score.correct for score in self.scores) / max(1, len(self.scores))

    @property
    def score(self) -> float:
        return sum(score.score for score in self.scores) / max(1, len(self.scores))


class VersionJudge:
    """Judges versions. Rows without a right answer are judged by the model `judge`, which compares each answer with
    that of the version `present`.
    """

    def __init__(
        self,
        loop: Loop,
        trial: FoundTrial,
        present: FoundTemplate,
        measure: AnswerMeasure,
        contract: AnswerContract | None,
        price: ModelPrice,
        judge: str = "",
    ) -> None:
        self.measure = measure
        self._loop = loop
        self._trial = trial
        self._present = present
        self._contract = contract
        self._price = price_at(price, time.time())
        self._judge = judge

    def judge(self, candidate: FoundCandidate, rows: Sequence[DatasetRow]) -> Judgement:
        answers = self._trial.answers(candidate.template, rows)
        broken = [self._breaks(row, answer) for row, answer in zip(rows, answers, strict=True)]
        scores = [
            self.measure.weigh(row, answer.text, max(0, answer.answer.prompt_tokens), answer.took_us)
            for row, answer in zip(rows, answers, strict=True)
        ]
        if self._judge:
            others = [answer.text for answer in self._trial.answers(self._present, rows)]
            scores = by_preference(self._loop, self._judge, rows, scores, others)
        loss = WORTHWHILE if candidate.removes else 0.0
        scores = [
            replace(score, score=score.score - loss - (score.valid if is_broken else 0.0))
            for score, is_broken in zip(scores, broken, strict=True)
        ]
        return Judgement(scores, broken, bill(answers, candidate.template, self._price))

    def _breaks(self, row: DatasetRow, answer: FoundAnswer) -> bool:
        if not self._contract or not breach(self._contract, answer.answer):
            return False
        # where even the right answer breaks the contract, the row says nothing about it
        right = replace(answer.answer, text=row.wanted, finish="stop", calls=())
        return not row.wanted or not breach(self._contract, right)
