"""The job `watch`: canaries that are worse are taken back, those that are not may take over. Meant to run often."""

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
from gateway.prompt.library.pointers import Pointer, read_pointers
from gateway.prompt.templates.template import Template
from gateway.records.database import Database, SpokenAnswer
from gateway.records.locations import database_url
from gateway.records.scores import WORTHWHILE, Scores, difference
from gateway.records.spoken_record import SpokenRecord, read_told
from gateway.settings import Settings
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.publish.decisions import LoggedDecision, write_down
from offline_jobs.publish.promote import point, take_back
from offline_jobs.statistics.sequential import ScoredAnswer, judged

KNOWN = 500
"""Scores from before a canary that say how good the stable version is."""


class WatchOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a watch can be asked."""

    template: str = ""
    """Left out: every template that has a canary."""


class CanaryVerdict(Struct, frozen=True):
    """What was decided of one canary: `rolled back`, `active`, `ready`, `kept waiting`."""

    template: str
    version: int
    what: str
    reason: str


def run(run: JobRun, options: WatchOptions) -> list[CanaryVerdict]:
    settings = run.settings
    found = []
    for root in [(settings.root / folder).resolve() for folder in settings.prompt.templates]:
        library, _ = load_library([root])
        for id, pointed in read_pointers(root).items():
            if pointed.pointer.canary and options.template in ("", id):
                found.append(_watched(run, library, root, id, pointed.pointer))
    return found


def estimate(_settings: Settings, _asked: WatchOptions) -> Spent:
    return Spent()


def _watched(run: JobRun, library: Library, root: Path, id: str, pointer: Pointer) -> CanaryVerdict:
    answers, before = _answers(run.settings, library, id, pointer.canary)
    what, reason = _decided(run.settings, answers, before)
    if what == "rolled back":
        take_back(run.settings, id, root / "pointers.yaml")
    elif what == "active":
        point(run.settings, id, root / "pointers.yaml", pointer.canary, "active")
    if what != "kept waiting":
        write_down(run.settings.data_folder, LoggedDecision(id, pointer.canary, what, reason, run.job.id))
    return CanaryVerdict(id, pointer.canary, what, reason)


def _decided(settings: Settings, answers: list[ScoredAnswer], before: Sequence[float]) -> tuple[str, str]:
    verdict = judged(answers, before)
    if verdict.worse:
        return "rolled back", f"it is worse: {verdict}"
    canary = Scores.of(answer.score for answer in answers if answer.canary)
    stable = Scores.of(answer.score for answer in answers if not answer.canary)
    needed = settings.jobs.canary_answers
    if canary.n < needed or not stable.n:
        return "kept waiting", f"{canary.n} of {needed} scored answers; {verdict}"
    found = difference(canary, stable, Random(0))
    said = f"difference {found.difference:.3f} [{found.low:.3f}, {found.high:.3f}] over {canary.n} answers"
    if found.low <= -WORTHWHILE:
        return "kept waiting", f"it may still be worse by {WORTHWHILE:g}: {said}"
    return ("active" if settings.jobs.auto == "active" else "ready"), f"no worse: {said}"


def _answers(settings: Settings, library: Library, id: str, version: int) -> tuple[list[ScoredAnswer], Sequence[float]]:
    """The scored answers of both, in order, from the canary's first on; and the last scores of the others before."""
    database = Database.open(database_url(settings))
    try:
        found: list[ScoredAnswer] = []
        before: deque[float] = deque(maxlen=KNOWN)
        checks = _checks(library, id, version)
        for spoken in database.spoken([id]):
            told = read_told(spoken.record)
            canary = told.rewrite.version == version and told.rewrite.arm is Arm.CANARY
            if not told.changed or not (canary or told.rewrite.arm is Arm.STABLE):
                continue
            score = _score(spoken, told, checks)
            if score is not None and (found or canary):
                found.append(ScoredAnswer(canary, score))
            elif score is not None:
                before.append(score)
        return found, before
    finally:
        database.close()


def _checks(library: Library, id: str, version: int) -> Any:
    """One yardstick for both: the canary's checks, else none."""
    try:
        template: Template | None = library.get(id, version)
    except TemplateError:
        template = None
    return partial(passed, checks=template.checks) if template is not None and template.checks else None


def _score(spoken: SpokenAnswer, told: SpokenRecord, checks: Any) -> float | None:
    """Feedback, else the share of the checks that hold."""
    if spoken.score is not None:
        return spoken.score
    if checks is None or told.policy != "full":
        return None
    found: float | None = checks(told.answer.text)
    return found


JOB = JobKind("canaries: what is worse is rolled back, what is not may take over", WatchOptions, run, estimate)
