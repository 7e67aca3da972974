"""The job `measure-gains`: measures, within a budget, the templates that have no row in the gain table.

A row is valid for one text of a template. When the text changes, mode `proven` stops using the template until the new
text is measured. Run this job on a schedule to measure such templates.
"""

from collections.abc import Sequence

from msgspec import Struct

from gateway.cli.gains.measurement import Measurement, MeasureOptions
from gateway.prompt.measure.pairs import PairScorer, ScoredPair
from gateway.prompt.policy.gains import Gain
from gateway.settings.tables import Settings
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.models import open_models
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import BudgetSpent, JobFailed

PROMPT_TOKENS = 250
"""The approximate number of prompt tokens for two answers to one built-in prompt, one with and one without the
template."""


class MeasureGainsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a measurement."""

    model: str = ""
    """The model to measure. Default: the default model."""
    template: str = ""
    """Measure only this template, given as `id` or `id@version`."""
    records: bool = True
    """Whether to repeat recorded requests as well, if their answers can be scored."""
    again: bool = False
    """Whether to measure templates that already have a row."""
    judge: str = ""
    """The model that compares answers if nothing else can score them. The model is tested first."""


class MeasureGainsReport(Struct, frozen=True):
    """The written rows, and the numbers of pairs that were scored, that did not fit into the budget, and that
    failed."""

    rows: Sequence[Gain]
    scored: int
    left: int
    failed: int


def run(run: JobRun, options: MeasureGainsOptions) -> MeasureGainsReport:
    wanted = MeasureOptions(
        model=options.model,
        template=options.template,
        judge=options.judge,
        source="all" if options.records else "prompts",
        missing=not options.again,
    )
    with open_models(run) as loop:
        models = loop.models
        if models.gateway.loader is None:
            raise JobFailed("no prompt is rewritten without an embedding model; configure one in [embedder]")

        async def measured() -> MeasureGainsReport:
            await models.gateway.load_prompt(classifier=False)
            measurement = Measurement(models.gateway, models.completions, wanted)
            pairs = await measurement.pairs()
            scored: list[ScoredPair] = list(pairs.known)
            scorer = PairScorer(models.completions, run.job.budget.calls, options.judge, run.job.budget.tokens)
            try:
                scored = await measurement.scores(pairs, scorer, run.check)
            except BudgetSpent:
                # the log of scores has the pairs that were scored before the budget ended
                scored = list((await measurement.pairs()).known)
            rows = measurement.write(scored)
            left = len(pairs.fresh) + len(pairs.known) - len(scored) - len(measurement.failed)
            return MeasureGainsReport(rows, len(scored), left, len(measurement.failed))

        return loop.do(measured())


def estimate(settings: Settings, options: MeasureGainsOptions) -> Spent:
    """Return an upper bound of the cost: two answers to every built-in prompt, as far as the budget allows."""
    from gateway.prompt.measure.pairs import ANSWER_TOKENS
    from gateway.prompt.measure.prompts import shipped_prompts

    pairs = len(shipped_prompts())
    calls = min(2 * pairs, settings.jobs.calls)
    return Spent(calls=calls, tokens=calls * (PROMPT_TOKENS // 2 + ANSWER_TOKENS))


JOB = JobKind("measures the templates that have no row in the gain table", MeasureGainsOptions, run, estimate)
