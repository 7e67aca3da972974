"""The job `measure-gains`: measures, within its budget, the templates that have no row in the gain table yet.

A row is valid only for one text of a template. If the text changes, the template is not used in the mode `proven` until
its new text has a row. When this job runs on a schedule, it measures such templates.
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
"""The approximate number of prompt tokens that a pair of answers to one of our prompts takes."""


class MeasureGainsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a measurement."""

    model: str = ""
    """The model; left out: the default."""
    template: str = ""
    """Only this template, `id` or `id@version`."""
    records: bool = True
    """Whether recorded exchanges are asked again too, where they can be scored."""
    again: bool = False
    """Whether templates that have a row are measured again."""
    judge: str = ""
    """A model that compares answers that nothing else can score; it is examined first."""


class MeasureGainsReport(Struct, frozen=True):
    """The rows that were written, and the number of pairs that were left out because of the budget."""

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
            raise JobFailed("without an [embedder] no prompt is rewritten, so there is nothing to measure")

        async def measured() -> MeasureGainsReport:
            await models.gateway.load_prompt(classifier=False)
            measurement = Measurement(models.gateway, models.completions, wanted)
            pairs = await measurement.pairs()
            scored: list[ScoredPair] = list(pairs.known)
            scorer = PairScorer(models.completions, run.job.budget.calls, options.judge, run.job.budget.tokens)
            try:
                scored = await measurement.scores(pairs, scorer, run.check)
            except BudgetSpent:
                # the pairs that were scored before the budget ended are in the log of scores
                scored = list((await measurement.pairs()).known)
            rows = measurement.write(scored)
            left = len(pairs.fresh) + len(pairs.known) - len(scored) - len(measurement.failed)
            return MeasureGainsReport(rows, len(scored), left, len(measurement.failed))

        return loop.do(measured())


def estimate(settings: Settings, options: MeasureGainsOptions) -> Spent:
    """Return an upper bound of the cost. Each of our prompts is answered once for each arm, as far as the budget
    allows."""
    from gateway.prompt.measure.pairs import ANSWER_TOKENS
    from gateway.prompt.measure.prompts import shipped_prompts

    pairs = len(shipped_prompts())
    calls = min(2 * pairs, settings.jobs.calls)
    return Spent(calls=calls, tokens=calls * (PROMPT_TOKENS // 2 + ANSWER_TOKENS))


JOB = JobKind("templates without a row of the gain table to measured ones", MeasureGainsOptions, run, estimate)
