"""Uses the package gepa as search engine: reflective evolution with a Pareto front over the rows.

The method is by Agrawal et al. 2025, arXiv 2507.19457. Our adapter passes candidates as pieces of template source and
makes the proposals, so the package itself calls no model and stores no files. A resumed run searches again from the
start, and takes all earlier answers from the ledger.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from gepa.api import optimize
from gepa.core.adapter import EvaluationBatch

from offline_jobs.search.candidate import Pieces
from offline_jobs.search.optimizer import MINIBATCH, SearchProblem
from offline_jobs.search.score import AnswerScore

PATIENCE = 12
"""The search ends after this many candidates in a row without a new proposal."""


class Gepa:
    """The package gepa as an `Optimizer`."""

    def search(self, problem: SearchProblem, draw: Random) -> None:
        adapter: Any = _Adapter(problem)
        optimize(
            seed_candidate=dict(problem.start),
            trainset=list(problem.learn),
            valset=list(problem.choose),
            adapter=adapter,
            custom_candidate_proposer=adapter.propose,
            module_selector="all",
            frontier_type="hybrid",
            reflection_minibatch_size=min(MINIBATCH, len(problem.learn)),
            skip_perfect_score=True,
            stop_callbacks=[lambda _state: adapter.over is not None or adapter.idle >= PATIENCE or problem.settled],
            logger=_Silent(),
            seed=draw.randrange(2**31),
        )
        if adapter.over is not None:
            raise adapter.over


class _Adapter:
    """The search problem in gepa's terms: data are indices of rows, and trajectories are `AnswerScore`s."""

    propose_new_texts = None

    def __init__(self, problem: SearchProblem) -> None:
        self.idle = 0
        self.over: Exception | None = None
        """The exception that must end the search. gepa swallows exceptions raised in a proposal, so `search` raises
        this one after gepa has returned."""
        self._problem = problem

    def evaluate(
        self, batch: list[int], candidate: Pieces, capture_traces: bool = False
    ) -> "EvaluationBatch[Any, Any]":
        outcomes = self._problem.weigh(candidate, batch)
        return EvaluationBatch(
            outputs=[outcome.answer for outcome in outcomes],
            scores=[outcome.score for outcome in outcomes],
            trajectories=outcomes if capture_traces else None,
            objective_scores=[_objectives(outcome) for outcome in outcomes],
            num_metric_calls=len(batch),
        )

    def make_reflective_dataset(
        self, candidate: Pieces, eval_batch: "EvaluationBatch[Any, Any]", components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        records = [
            {"Generated Outputs": outcome.answer, "Feedback": outcome.feedback}
            for outcome in eval_batch.trajectories or ()
        ]
        return dict.fromkeys(components_to_update, records)

    def propose(self, candidate: Pieces, _records: Any, _components: list[str]) -> Pieces:
        if self.over is not None:
            raise self.over
        try:
            proposal = self._problem.propose(candidate)
        except Exception as over:
            self.over = over
            raise
        self.idle = 0 if proposal else self.idle + 1
        return dict(proposal.pieces) if proposal else {}


def _objectives(outcome: AnswerScore) -> dict[str, float]:
    return {"valid": outcome.valid, "correct": outcome.correct, "tokens": -outcome.tokens / 1000}


class _Silent:
    def log(self, message: str) -> None:
        """Discard gepa's messages. The job writes its own log of candidates."""
