"""The job `improve-prompts`: takes each found prompt as far as `[jobs] auto` allows, without a person.

For each prompt: adopt it, learn its answer contract, harvest rows, search for a better version, and send the winner to
a share of the conversations. `watch` takes a bad one back, and lets a good one take over. Each step has its reason. The
digest goes to the webhook, without any text of the prompts.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from gateway.prompt.found.adopt import NotAdopted
from gateway.prompt.found.found_prompt import FoundPrompt, PromptState
from gateway.prompt.found.store import found_path, one_of, read_found
from gateway.prompt.found.templates import adopt
from gateway.settings.tables import Settings
from offline_jobs.datasets.splits import FEWEST, SEALED
from offline_jobs.engine.alert import alert
from offline_jobs.engine.budget import JobBudget, Spent
from offline_jobs.engine.ledger import DONE, LedgerJob
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.engine.work import go_on

LEAST_CALLS = 60
ROWS = int(FEWEST / SEALED) + 1
"""An optimisation needs at least this many rows with right answers."""


class ImprovePromptsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of the job."""

    prompt: str = ""
    """Improve only this prompt. Default: all found prompts that are not ignored, the most used first."""
    since: str = "30d"
    """The start of the window for contracts and rows: an age such as 7d, or a date."""
    requests: int = 100
    """A prompt with fewer requests is left alone."""
    model: str = ""
    """The model that answers. Default: `[jobs] model`, else the model of the rows."""


class ImproveStep(Struct, frozen=True):
    """One step for one prompt. `what` is `found`, `adopted`, `contract`, `rows`, `better`, `not better` or `left`.

    `commonest` is the share of the commonest right answer, beside the gain in `reason`.
    """

    prompt: str
    what: str
    reason: str
    commonest: float | None = None
    job: str = ""


class ImproveReport(Struct, frozen=True):
    """All steps, in their order."""

    steps: list[ImproveStep]


def run(run: JobRun, options: ImprovePromptsOptions) -> ImproveReport:
    content = read_found(found_path(run.settings.data_folder))
    prompts = [one_of(content.prompts, options.prompt)] if options.prompt else list(content.prompts)
    order = sorted(prompts, key=lambda prompt: (-prompt.newest.use.requests, prompt.id))
    steps: list[ImproveStep] = []
    for prompt in order:
        if prompt.state is not PromptState.IGNORED:
            steps += _steps(run, options, prompt)
            run.check()
    report = ImproveReport(steps)
    if steps:
        alert(run.settings, run.job.id, {"digest": msgspec.to_builtins(steps)})
    return report


def estimate(settings: Settings, options: ImprovePromptsOptions) -> Spent:
    """Return an upper bound of the cost: the budget, or less if there are few prompts."""
    content = read_found(found_path(settings.data_folder))
    chosen = [one for one in content.prompts if _is_meant(one, options)]
    if settings.jobs.auto == "off" or not chosen:
        return Spent()
    return Spent(settings.jobs.calls, settings.jobs.tokens, settings.jobs.money)


def _is_meant(prompt: FoundPrompt, options: ImprovePromptsOptions) -> bool:
    if prompt.state is PromptState.IGNORED or prompt.newest.use.requests < options.requests:
        return False
    return options.prompt in ("", prompt.name, prompt.id)


def _steps(run: JobRun, options: ImprovePromptsOptions, prompt: FoundPrompt) -> Iterator[ImproveStep]:
    name, count = prompt.name, prompt.newest.use.requests
    if count < options.requests:
        yield ImproveStep(name, "left", f"{count} of {options.requests} requests")
        return
    if run.settings.jobs.auto == "off":
        yield ImproveStep(name, "found", f'{count} requests; [jobs] auto = "off" reserves the next step for a person')
        return
    if prompt.spoken is not None and prompt.spoken.share < 1:
        yield ImproveStep(name, "left", f"version {prompt.spoken.version} is on trial")
        return
    try:
        adopt(run.settings.data_folder, prompt.id)
    except NotAdopted as error:
        yield ImproveStep(name, "left", str(error))
        return
    yield ImproveStep(name, "adopted", f"{count} requests of {prompt.newest.use.users or 'unknown'} users")
    yield from _jobs(run, options, prompt)


def _jobs(run: JobRun, options: ImprovePromptsOptions, prompt: FoundPrompt) -> Iterator[ImproveStep]:
    name, dataset = prompt.name, f"prompt-{prompt.id}"
    window = {"prompt": prompt.id, "since": options.since}
    contract = _done(run, "learn-contract", window)
    yield ImproveStep(name, "contract", _text(contract, "verdict"), job=contract.id)
    harvest = _done(run, "harvest", {**window, "name": dataset})
    if harvest.state != DONE:
        yield ImproveStep(name, "left", harvest.reason, job=harvest.id)
        return
    counts = _report(harvest).get("counts", {})
    right = sum(count for kind, count in counts.items() if kind.startswith("right answers"))
    commonest = _report(harvest).get("commonest")
    yield ImproveStep(name, "rows", f"{right} rows with right answers", commonest, harvest.id)
    if right < ROWS:
        yield ImproveStep(name, "left", f"{right} of {ROWS} rows with right answers; send feedback with `answer`")
        return
    left = run.job.budget.calls - _spent(run).calls
    if left < LEAST_CALLS:
        yield ImproveStep(name, "left", f"{max(0, left)} calls of the budget are left; the next run goes on")
        return
    words = {"prompt": prompt.id, "dataset": dataset, **({"model": options.model} if options.model else {})}
    best = _done(run, "optimise", words)
    report = _report(best)
    what = "better" if report.get("won") or (report.get("file") and best.state == DONE) else "not better"
    yield ImproveStep(name, what, report.get("verdict") or best.reason, report.get("commonest"), best.id)


def _done(run: JobRun, kind: str, words: dict[str, Any]) -> LedgerJob:
    """Run a job to its end as a part of this one. A resumed job goes on with the same one."""
    spent = _spent(run)
    whole = run.job.budget
    budget = JobBudget(
        max(1, whole.calls - spent.calls),
        max(1, whole.tokens - spent.tokens),
        max(1e-9, whole.money - spent.money) if whole.money else 0.0,
        whole.seconds,
    )
    id = run.step(f"{kind} {words['prompt']}", words, lambda: run.ledger.create(kind, words, budget).id, str)
    job = run.ledger.job(id)
    return job if job.state == DONE else go_on(run.settings, run.ledger, job, parent=run)


def _spent(run: JobRun) -> Spent:
    """Return what the jobs of this run have spent so far."""
    ids = [msgspec.json.decode(result, type=str) for result in run.ledger.results(run.job.id)]
    parts = [run.ledger.spent(id) for id in ids]
    return Spent(sum(one.calls for one in parts), sum(one.tokens for one in parts), sum(one.money for one in parts))


def _report(job: LedgerJob) -> dict[str, Any]:
    return msgspec.json.decode(job.report, type=dict[str, Any]) if job.report else {}


def _text(job: LedgerJob, name: str) -> str:
    return str(_report(job).get(name) or job.reason)


JOB = JobKind(
    "takes found prompts as far as [jobs] auto allows: adopt, contract, rows, a better version, a trial",
    ImprovePromptsOptions,
    run,
    estimate,
)
