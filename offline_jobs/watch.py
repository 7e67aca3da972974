"""The job `watch`: rolls back canaries that are worse than the stable version, and promotes the others if `[jobs] auto`
allows it.

Canaries of found prompts are in `offline_jobs/found/watch.py`. The job also compares the templates in use with their
controls (`offline_jobs/controls.py`). Run this job often.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct

from gateway.errors import TemplateError
from gateway.exchange import Arm
from gateway.prompt.answers.judge import passed
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.library.pointers import read_pointers
from gateway.prompt.templates.template import Template
from gateway.records.database import Database, SpokenAnswer
from gateway.records.locations import database_url
from gateway.records.scores import WORTHWHILE, Scores, difference
from gateway.records.spoken_record import SpokenRecord, read_spoken
from gateway.settings.numbers import Amount
from gateway.settings.tables import Settings
from offline_jobs.controls import WatchVerdict, compared_with_controls
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.found import watch as found_canaries
from offline_jobs.publish.decisions import LoggedDecision, log_decision
from offline_jobs.publish.winner import point, take_back
from offline_jobs.statistics.sequential import ScoredAnswer, judged

KNOWN = 500
"""How many earlier scores of the stable version go into the first guess of its mean."""
JUDGED_TOKENS = 1000
"""The approximate number of tokens of one judge call."""


class WatchOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a watch."""

    template: str = ""
    """The template to watch; `found:NAME` for a prompt that was found in traffic. Default: all with a canary or with
    controls."""
    judge: Amount = 0
    """The largest number of answers per run that the model `[jobs] judge` scores, for the comparison with controls."""


def run(run: JobRun, options: WatchOptions) -> list[WatchVerdict]:
    settings = run.settings
    verdicts = []
    for root in [(settings.root / folder).resolve() for folder in settings.prompt.templates]:
        library, _ = load_library([root])
        for id, version in sorted(_canaries(library, root).items()):
            if options.template in ("", id):
                verdicts.append(_watched(run, library, root, id, version))
    found = found_canaries.watched(run, options.template)
    return verdicts + found + compared_with_controls(run, options.template, options.judge)


def estimate(_settings: Settings, options: WatchOptions) -> Spent:
    return Spent(options.judge, options.judge * JUDGED_TOKENS)


def _canaries(library: Library, root: Path) -> dict[str, int]:
    """Return the canary version of each template that has a canary.

    A canary in the pointers file takes precedence over a canary by the status in a template's file.
    """
    served = (template for pairs in library.canaries.values() for template, _ in pairs)
    pointed = {id: entry.pointer.canary for id, entry in read_pointers(root).items() if entry.pointer.canary}
    return {**{template.id: template.version for template in served}, **pointed}


def _watched(run: JobRun, library: Library, root: Path, id: str, version: int) -> WatchVerdict:
    answers, before = _answers(run.settings, library, id, version)
    what, reason = _decided(run.settings, answers, before)
    if what == "rolled back":
        take_back(run.settings, id, root / "pointers.yaml")
    elif what == "active":
        point(run.settings, id, root / "pointers.yaml", version, "active")
    if what != "kept waiting":
        log_decision(run.settings.data_folder, LoggedDecision(id, version, what, reason, run.job.id))
    return WatchVerdict(id, version, what, reason)


def _decided(settings: Settings, answers: list[ScoredAnswer], before: Sequence[float]) -> tuple[str, str]:
    verdict = judged(answers, before)
    if verdict.worse:
        return "rolled back", f"it is worse: {verdict}"
    canary = Scores.of(answer.score for answer in answers if answer.canary)
    stable = Scores.of(answer.score for answer in answers if not answer.canary)
    needed = settings.jobs.canary_answers
    if canary.n < needed or not stable.n:
        return "kept waiting", f"{canary.n} of {needed} scored answers; {verdict}"
    gain = difference(canary, stable, Random(0))
    figures = f"difference {gain.difference:.3f} [{gain.low:.3f}, {gain.high:.3f}] over {canary.n} answers"
    if gain.low <= -WORTHWHILE:
        return "kept waiting", f"it may still be worse by {WORTHWHILE:g}: {figures}"
    return ("active" if settings.jobs.auto == "active" else "ready"), f"no worse: {figures}"


def _answers(settings: Settings, library: Library, id: str, version: int) -> tuple[list[ScoredAnswer], Sequence[float]]:
    """Return the scored answers of both versions since the canary's first answer, and the last scores of the stable
    version before that answer."""
    database = Database.open(database_url(settings))
    try:
        answers: list[ScoredAnswer] = []
        before: deque[float] = deque(maxlen=KNOWN)
        checks = _checks(library, id, version)
        for spoken in database.spoken([id]):
            record = read_spoken(spoken.record)
            canary = record.rewrite.version == version and record.rewrite.arm is Arm.CANARY
            if not record.changed or not (canary or record.rewrite.arm is Arm.STABLE):
                continue
            score = _score(spoken, record, checks)
            if score is not None and (answers or canary):
                answers.append(ScoredAnswer(canary, score))
            elif score is not None:
                before.append(score)
        return answers, before
    finally:
        database.close()


def _checks(library: Library, id: str, version: int) -> Any:
    """Return the checks of the canary, which score both versions, or None if the canary has none."""
    try:
        template: Template | None = library.get(id, version)
    except TemplateError:
        template = None
    return partial(passed, checks=template.checks) if template is not None and template.checks else None


def _score(spoken: SpokenAnswer, record: SpokenRecord, checks: Any) -> float | None:
    """Return the score from feedback, else the share of the checks that pass, or None if there is neither."""
    if spoken.score is not None:
        return spoken.score
    if checks is None or record.policy != "full":
        return None
    share: float | None = checks(record.answer.text)
    return share


JOB = JobKind("stops worse canaries and templates, and promotes good canaries", WatchOptions, run, estimate)
