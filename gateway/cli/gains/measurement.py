"""One measurement: chooses pairs of answers, estimates their cost, scores them, and writes the gain table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Endpoint
from gateway.assembly.gateway import Gateway
from gateway.cli.gains.replay import SEED, ReplayFilter, choose, pairs_of
from gateway.errors import ForewordError
from gateway.exchange import Target
from gateway.ports import Completer
from gateway.prompt.library.library import Library
from gateway.prompt.measure.cost import MeasureCost, cost_of_pairs
from gateway.prompt.measure.known_order import JudgeExam, examine, keep_exam, read_exam
from gateway.prompt.measure.pairs import AnswerPair, PairScorer, ScoredPair, gains_of, scores_of
from gateway.prompt.measure.prepare import measurable, pairs_of_prompts
from gateway.prompt.measure.prompts import shipped_prompts
from gateway.prompt.measure.score_log import ScoreLog
from gateway.prompt.policy.decide import RewritePolicy
from gateway.prompt.policy.gains import Gain, gains_path, key_of, known_gains, write_gains
from gateway.prompt.rewrite import RewriteStage
from gateway.prompt.slots.extract import Extractor
from gateway.records.locations import database_url

Tick = Callable[[], None]

PATIENCE_MS = 60_000


class JudgeRefused(ForewordError):
    """The judge put too few of the test pairs into their known order, so the judge's verdicts are not used."""


class MeasureOptions(Struct, frozen=True):
    """The options of a measurement. An empty text selects everything, but an empty `model` selects the default model.

    `model` is the name that clients use.
    """

    model: str = ""
    template: str = ""
    intent: str = ""
    since_s: float = 0.0
    each: int = 200
    judge: str = ""
    source: Literal["all", "records", "prompts"] = "all"
    missing: bool = False
    """Whether to measure only templates that have no row for this model in the gain table."""


class MeasurePairs(Struct, frozen=True):
    """The pairs of a measurement. An earlier run has scored the `known` pairs; the `fresh` pairs must still be
    answered."""

    all: Sequence[AnswerPair]
    fresh: Sequence[AnswerPair]
    known: Sequence[ScoredPair]
    exam: JudgeExam | None
    cost: MeasureCost

    @property
    def judged(self) -> bool:
        """Whether a judge must score any of the fresh pairs."""
        return any(not pair.right and not pair.checks for pair in self.fresh)


class Measurement:
    """Measures gains with a gateway whose prompt parts are loaded. `completer` makes the model calls."""

    def __init__(self, gateway: Gateway, completer: Completer, options: MeasureOptions) -> None:
        self._gateway, self._completer, self._options = gateway, completer, options
        folder = gateway.settings.data_folder
        self._log = ScoreLog(folder / "gains" / "scores.jsonl")
        self._exams = folder / "gains" / "judges.json"
        self.failed: list[str] = []

    async def pairs(self) -> MeasurePairs:
        """Return all pairs that the options select. Raises `NotFound` for an unknown model."""
        options = self._options
        pairs: list[AnswerPair] = []
        if options.source != "prompts":
            pairs += self._recorded()
        if options.source != "records":
            pairs += await self._of_prompts()
        if options.missing:
            rows = known_gains(gains_path(self._gateway.settings.data_folder))
            pairs = [pair for pair in pairs if pair.key not in rows]
        scored = [pair for pair in pairs if pair.scored_by(options.judge)]
        known = [score for pair in scored if (score := self._log.known(pair, options.judge)) is not None]
        done = {id(score.pair) for score in known}
        fresh = [pair for pair in scored if id(pair) not in done]
        exam = read_exam(self._exams, options.judge) if options.judge else None
        cost = cost_of_pairs(fresh, self._gateway.settings.call_prices, options.judge, exam)
        return MeasurePairs(pairs, fresh, known, exam, cost)

    async def scores(self, pairs: MeasurePairs, scorer: PairScorer, tick: Tick) -> list[ScoredPair]:
        """Score fresh pairs until a limit is reached. Returns the new scores and those of earlier runs.

        Raises `JudgeRefused` if the judge fails its test.
        """
        if pairs.judged and self._options.judge:
            await self._examine(pairs.exam, scorer, tick)

        def keep(scored: ScoredPair) -> None:
            self._log.add(scored, self._options.judge)
            tick()

        return [*pairs.known, *await scores_of(pairs.fresh, scorer, keep, self.failed)]

    def write(self, scored: Sequence[ScoredPair]) -> list[Gain]:
        """Write these scores to the gain table. Returns the rows as written."""
        rows = gains_of(scored, time.time())
        if not rows:
            return []
        table = write_gains(gains_path(self._gateway.settings.data_folder), rows)
        return [table[key_of(row)] for row in rows]

    async def _examine(self, exam: JudgeExam | None, scorer: PairScorer, tick: Tick) -> None:
        judge = self._options.judge
        if exam is None:
            exam = await examine(judge, self._gateway.routes.targets(judge, Endpoint.CHAT)[0], scorer, tick)
            keep_exam(self._exams, exam)
        if not exam.passes:
            raise JudgeRefused(f"{exam}, so this judge cannot fill the gain table. Name a stronger model with --judge.")

    def _recorded(self) -> list[AnswerPair]:
        """Return the pairs from recorded exchanges, or none if there is no database yet."""
        # imported here, because importing SQLAlchemy takes 0.3 s
        from gateway.records.database import Database

        settings, options = self._gateway.settings, self._options
        url = database_url(settings)
        if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
            return []
        model = self._target().model if options.model else ""
        which = ReplayFilter(options.intent, model, options.template, options.since_s, options.each)
        random = Random(SEED)
        database = Database.open(url)
        try:
            pairs = list(
                pairs_of(database, choose(database, which, random), self._library(), random, settings.refiner.model)
            )
        finally:
            database.close()
        return [pair for pair in pairs if pair.target.backend in self._gateway.backends]

    async def _of_prompts(self) -> list[AnswerPair]:
        options = self._options
        prompts = [prompt for prompt in shipped_prompts() if options.intent in ("", prompt.intent)]
        templates = measurable(self._library(), options.template)
        return await pairs_of_prompts(self._stage, templates, self._target(), prompts)

    def _stage(self, policy: RewritePolicy) -> RewriteStage:
        loaded = self._gateway.loaded
        return RewriteStage(
            # no client waits, and on a busy machine a prompt without its examples would be left out of the measurement
            replace(self._gateway.settings.prompt, budget_ms=PATIENCE_MS),
            loaded.library,
            loaded.pools,
            loaded.embed,
            self._completer,
            policy,
            store=loaded.collections,
            extractor=Extractor(),
        )

    def _library(self) -> Library:
        return self._gateway.loaded.library or Library()

    def _target(self) -> Target:
        name = self._options.model or self._gateway.settings.routing.default
        return self._gateway.routes.targets(name, Endpoint.CHAT)[0]
