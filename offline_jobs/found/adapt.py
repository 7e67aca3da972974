"""Adapts a found prompt to another model, and switches to it: the parts of `move-prompt` that change something."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.adopt import FoundTemplate, NotAdopted
from gateway.prompt.found.found_prompt import FoundPrompt, promoted
from gateway.prompt.found.store import FoundFile, change_found, found_path, one_of, put
from gateway.prompt.found.templates import add_template, adopt, present_identity, read_template
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.datasets.splits import FEWEST
from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.ledger import DONE
from offline_jobs.engine.run import JobRun
from offline_jobs.engine.work import go_on
from offline_jobs.found.optimise import sealed_rows
from offline_jobs.publish.decisions import LoggedDecision, log_decision
from offline_jobs.search.template_search import OptimiseOptions

GROWTH = (0.1, 0.25, 0.5, 1.0)
"""The shares that a switch reaches one after the other."""


class Adaptation(Struct, frozen=True):
    """A version for the new model, or None if none was better, with the verdict of the search. `rows` are those to
    compare the models by: the search has not chosen by them.
    """

    template: FoundTemplate | None
    verdict: str
    rows: tuple[DatasetRow, ...]


def adapted(
    run: JobRun, prompt: FoundPrompt, ref: str, model: str, rows: Sequence[DatasetRow], compared: int
) -> Adaptation:
    """Search for a version that suits the new model, as a job of its own within this job's budget. The comparison of up
    to `compared` rows with both models keeps its calls.
    """
    settings = run.settings
    if sum(bool(row.wanted) for row in rows) * 0.4 < FEWEST:
        return Adaptation(None, "too few requests with a right answer to adapt the prompt by", tuple(rows))
    adopt(settings.data_folder, prompt.id, anew=False)
    # an order to adapt makes a version; who sends it is decided here
    jobs = replace(settings, jobs=replace(settings.jobs, auto="candidate"))
    options = OptimiseOptions(prompt=prompt.id, dataset=ref, model=model)
    words = {"prompt": prompt.id, "dataset": ref, "model": model}
    whole = run.job.budget
    budget = JobBudget(max(1, whole.calls - 2 * compared), whole.tokens, whole.money, whole.seconds)
    id = run.step("adapt", words, lambda: run.ledger.create("optimise", words, budget).id, str)
    job = run.ledger.job(id)
    job = job if job.state == DONE else go_on(jobs, run.ledger, job)
    report: dict[str, Any] = msgspec.json.decode(job.report) if job.report else {}
    won = str(report.get("won") or "")
    if not won:
        return Adaptation(None, f"not adapted: {report.get('verdict') or job.reason}", tuple(rows))
    version = int(won.rpartition("@")[2])
    template = read_template(settings.data_folder, prompt.id, version)
    unseen = sealed_rows(settings, prompt, options, budget.calls)
    return Adaptation(template, f"adapted, version {version}: {report['verdict']}", unseen)


def switched(run: JobRun, prompt: FoundPrompt, template: FoundTemplate | None, model: str, share: float) -> str:
    """Send a share of the prompt's conversations to another model, with the version `template` or the application's own
    text. `watch` lets the share grow, and takes it back. Returns what was done.
    """
    folder = run.settings.data_folder
    adopt(folder, prompt.id, anew=False)
    base = template or _identity(folder, prompt)
    sent: list[FoundPrompt] = []

    def changed(content: FoundFile) -> FoundFile:
        own = one_of(content.prompts, prompt.id)
        if own.spoken is not None and own.spoken.share < 1:
            return content  # another version is on trial
        version, _ = add_template(folder, prompt.id, lambda _: replace(base, model=model))
        now = time.time()
        growth = tuple(one for one in GROWTH if one > share)
        spoken = replace(promoted(own, version.version, share, now), growth=growth, grown_s=now)
        sent.append(replace(own, spoken=spoken))
        return put(content, sent)

    change_found(found_path(folder), changed)
    if not sent or sent[0].spoken is None:
        return "not switched: another version is on trial; end it first (foreword prompts rollback)"
    version = sent[0].spoken.version
    what = f"version {version} sends {share:.0%} of the new conversations to {model}"
    log_decision(folder, LoggedDecision(f"found:{prompt.name}", version, "canary", what, run.job.id))
    return f"{what}; `foreword jobs run watch` lets the share grow, or takes it back"


def _identity(folder: Path, prompt: FoundPrompt) -> FoundTemplate:
    identity = present_identity(folder, prompt)
    if identity is None:
        raise NotAdopted(f"{prompt.name} was deployed anew; run: foreword prompts adopt {prompt.name}")
    return identity
