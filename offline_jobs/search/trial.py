"""Answers rows with a candidate exactly as the gateway would, with slots, guards, examples, first calls and rounds."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.errors import RequestError
from gateway.exchange import Exchange
from gateway.ports import Embedder, Vectors
from gateway.prompt.library.library import build_library
from gateway.prompt.library.pools import load_pools
from gateway.prompt.rewrite import RewriteStage
from gateway.prompt.templates.template import Template
from gateway.wire.chat.answer import read_answer
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.models import Loop
from offline_jobs.errors import JobFailed
from offline_jobs.search.candidate import Parent, Pieces, assembled, examples_in, pool_file, pool_text, uses_pool
from offline_jobs.search.gate import admitted
from offline_jobs.search.preference import by_preference
from offline_jobs.search.score import AnswerMeasure, AnswerScore

PATIENCE_MS = 60_000
DEAD = 8
"""The model counts as down after this many failed calls in a row."""
OK = 300


class CandidateAnswer(Struct, frozen=True):
    """An answer. `unchanged` says why the candidate was not used, or is "" if the candidate was used."""

    text: str
    tokens: int
    took_us: int
    unchanged: str = ""


class CandidateTrial:
    """Evaluates candidates of one parent, and caches all answers."""

    def __init__(
        self,
        loop: Loop,
        parent: Parent,
        measure: AnswerMeasure,
        model: str,
        folder: Path,
        embedder: Embedder | None = None,
        judge: str = "",
    ) -> None:
        self.parent = parent
        self.measure = measure
        self._loop = loop
        self._model = model
        self._judge = judge
        self._folder = folder
        self._embedder = embedder
        self._stages: dict[str, RewriteStage | str] = {}
        self._answers: dict[tuple[str, str], CandidateAnswer] = {}
        self._failed = 0

    def source(self, pieces: Pieces) -> str:
        return assembled(self.parent, pieces)

    def weigh(self, pieces: Pieces, rows: Sequence[DatasetRow], against: Pieces | None = None) -> list[AnswerScore]:
        """Score a candidate, one score per row.

        A candidate that fails the gate scores 0, costs no call, and gets feedback. If `against` is given and a judge is
        configured, the judge scores rows without a right answer: it compares the candidate's answer with the answer of
        `against`.

        Raises `JobFailed` if the model is down, because that is not the candidate's fault.
        """
        source = self.source(pieces)
        stage = self._stage(source, pieces)
        if isinstance(stage, str):
            return [AnswerScore(0.0, 0.0, 0.0, feedback=stage) for _ in rows]
        answers = self._answered(source, stage, rows)
        outcomes = [self._outcome(row, answer) for row, answer in zip(rows, answers, strict=True)]
        if against is None or not self._judge or all(row.wanted for row in rows):
            return outcomes
        base = self.source(against)
        others = [answer.text for answer in self._answered(base, self._stage(base, against), rows)]
        return by_preference(self._loop, self._judge, rows, outcomes, others)

    def _outcome(self, row: DatasetRow, answer: CandidateAnswer) -> AnswerScore:
        outcome = self.measure.weigh(row, answer.text, answer.tokens, answer.took_us)
        if not answer.unchanged:
            return outcome
        return replace(outcome, feedback=f"{answer.unchanged} {outcome.feedback}".strip())

    def _stage(self, source: str, pieces: Pieces) -> RewriteStage | str:
        if source not in self._stages:
            self._stages[source] = self._built(source, pieces)
        return self._stages[source]

    def _built(self, source: str, pieces: Pieces) -> RewriteStage | str:
        """Return the stage that renders the candidate, or the reason why the candidate fails the gate."""
        examples = examples_in(pieces)
        beside = self._folder if examples.form == "nearest" else self.parent.file.parent
        if examples.form == "nearest":
            (self._folder / pool_file(examples)).write_text(pool_text(examples), "utf-8")
        template = admitted(source, beside / "candidate.prompt.md", self.parent.template.optimise)
        return template if isinstance(template, str) else self._rewrite(template)

    def _rewrite(self, template: Template) -> RewriteStage | str:
        models = self._loop.models
        library = build_library([template], [])
        prompt = replace(models.run.settings.prompt, budget_ms=PATIENCE_MS)
        if not uses_pool(template):
            return RewriteStage(prompt, library, completer=models.completions)
        if self._embedder is None:
            return "It chooses examples for each request. This needs an embedding model: [embedder]."
        embedder = self._embedder
        pools, broken = load_pools(
            [template], embedder.embed, embedder.name, self._folder / "vectors", embedder.count_tokens
        )
        if broken:
            return f"Its examples cannot be read: {broken[0].what}."

        async def embed(texts: Sequence[str]) -> Vectors:
            return embedder.embed(texts)

        return RewriteStage(prompt, library, pools, embed, models.completions)

    def _answered(self, source: str, stage: RewriteStage | str, rows: Sequence[DatasetRow]) -> list[CandidateAnswer]:
        assert not isinstance(stage, str)
        new = [row for row in rows if (source, row.query) not in self._answers]

        async def answer(row: DatasetRow) -> CandidateAnswer:
            return await self._answer(stage, row.query)

        for row, answered in zip(new, self._loop.all(answer, new), strict=True):
            self._answers[source, row.query] = answered
        return [self._answers[source, row.query] for row in rows]

    async def _answer(self, stage: RewriteStage, query: str) -> CandidateAnswer:
        began = perf_counter_ns()
        models = self._loop.models
        plain = models.exchange([Turn("user", query)], self._model)
        assert stage.library is not None
        named = replace(plain.ask.controls, template=stage.library.templates[0].id)
        exchange = await stage(replace(plain, ask=replace(plain.ask, controls=named)))
        reason = next((note.reason for note in exchange.notes if note.decision == "kept"), "")
        try:
            exchange, reply = await models.perform(exchange, ())
        except RequestError as error:
            self._failed += 1
            if self._failed >= DEAD:
                raise JobFailed(
                    f"the model {self._model!r} failed {self._failed} times in a row: {error.message} "
                    "When it works again: foreword jobs resume ID"
                ) from error
            return CandidateAnswer("", 0, 0, f"The model failed: {error.message}")
        self._failed = 0
        answer = read_answer(reply.body, "application/json") if reply.status < OK else None
        took_us = (perf_counter_ns() - began) // 1000
        if answer is None:
            return CandidateAnswer("", 0, took_us, f"The model refused the prompt with {reply.status}.")
        return CandidateAnswer(
            answer.text,
            _tokens(exchange, answer.prompt_tokens),
            took_us,
            f"The template was not used: {reason}." if reason else "",
        )


def _tokens(exchange: Exchange, prompt_tokens: int) -> int:
    """Return the number of prompt tokens of an answer, including those of first calls."""
    return max(0, prompt_tokens) + sum(max(0, call.prompt_tokens) for call in exchange.calls)
