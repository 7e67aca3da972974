"""Compares each template in use with its controls, and stops using a template that is worse.

Controls are conversations that the template's experiment left unchanged. Answers to controls and answers to rewritten
prompts are scored in the same way: by feedback, else by limits stated in the client's prompt, else by a judge. The
judge sees one answer at a time, and is not told whether the prompt was rewritten. The template's own checks do not
count, because a rewritten prompt asks the model to pass them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from random import Random
from time import time

import msgspec
from msgspec import Struct, field

from gateway.ask import Turn
from gateway.exchange import Arm
from gateway.prompt.answers.stated_checks import share_passed, stated_checks
from gateway.prompt.library.library import load_library
from gateway.prompt.policy.standings import (
    Standing,
    Standings,
    StandingState,
    read_standings,
    standings_path,
    write_standing,
)
from gateway.prompt.templates.template import Template
from gateway.records.database import Database, SpokenAnswer
from gateway.records.locations import database_url
from gateway.records.scores import WORTHWHILE, Scores, difference
from gateway.records.spoken_record import SpokenRecord, read_spoken
from gateway.settings.tables import Settings
from offline_jobs.datasets.judge_answers import judge_rows
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.alert import alert
from offline_jobs.engine.run import JobRun
from offline_jobs.publish.decisions import LoggedDecision, log_decision
from offline_jobs.statistics.sequential import CONTROL_ALARM, ScoredAnswer, judged


class WatchVerdict(Struct, frozen=True):
    """A decision about a canary or about a template with controls.

    For a canary, the decision is `rolled back`, `active`, `ready`, `grown` or `kept waiting`. For a template with
    controls, it is `shadow`, `settled` or `kept waiting`.
    """

    template: str
    version: int
    what: str
    reason: str


class _Question(Struct):
    turns: tuple[Turn, ...] = field(default=(), name="asked")


class _JudgedAnswer(Struct, frozen=True):
    """The judge's score of one answer, or -1 if the judge could not decide."""

    exchange: str
    score: float


_read_question = msgspec.msgpack.Decoder(_Question).decode
# scores have few different values, so a million answers can share a few objects
_scored = cache(ScoredAnswer)


def compared_with_controls(run: JobRun, only: str = "", judge: int = 0) -> list[WatchVerdict]:
    """Compare every template in use with its controls. If `only` is set, compare only this template.

    The judge scores at most `judge` of the answers that have no other score. Templates without controls get no verdict.
    """
    settings = run.settings
    library, _ = load_library([(settings.root / folder).resolve() for folder in settings.prompt.templates])
    standings = read_standings(standings_path(settings.data_folder))
    templates = {
        id: template
        for id, template in library.speaking.items()
        if only in ("", id) and _state(standings, template) is not StandingState.SHADOW
    }
    if not templates:
        return []
    if judge:
        _judge(run, templates, standings, judge)
    answers = _answers(settings, templates, standings)
    return [_decided(run, templates[id], standings, answers[id]) for id in sorted(answers)]


def _decided(run: JobRun, template: Template, standings: Standings, answers: list[ScoredAnswer]) -> WatchVerdict:
    settings = run.settings
    before = _state(standings, template)
    state, reason = compared(answers, settings.jobs.canary_answers)
    if state is StandingState.TRIED or state is before:
        what = "kept waiting" if state is StandingState.TRIED else str(state)
        return WatchVerdict(template.id, template.version, what, reason)
    since_s = standings[template.id, template.text_digest].since_s if before else 0.0
    standing = Standing(template.id, template.text_digest, state, reason, run.job.id, time(), since_s, template.version)
    write_standing(standings_path(settings.data_folder), standing)
    decision = LoggedDecision(template.id, template.version, str(state), reason, run.job.id)
    log_decision(settings.data_folder, decision)
    if state is StandingState.SHADOW:
        alert(settings, run.job.id, {"template": template.ref, "what": "put back into the shadow", "reason": reason})
    return WatchVerdict(template.id, template.version, str(state), reason)


def compared(answers: list[ScoredAnswer], needed: int) -> tuple[StandingState, str]:
    """Return the new state of a template, and the reason.

    In `answers`, the field `canary` is true for answers to rewritten prompts. A template is settled only after `needed`
    scored answers to rewritten prompts.
    """
    verdict = judged(answers, alarm=CONTROL_ALARM)
    if verdict.worse:
        return StandingState.SHADOW, f"worse than its controls: {verdict}"
    rewritten = Scores.of(answer.score for answer in answers if answer.canary)
    held = Scores.of(answer.score for answer in answers if not answer.canary)
    if rewritten.n < needed or not held.n:
        return StandingState.TRIED, f"{rewritten.n} of {needed} scored answers, {held.n} of controls; {verdict}"
    gain = difference(rewritten, held, Random(0))
    figures = f"difference {gain.difference:.3f} [{gain.low:.3f}, {gain.high:.3f}] over {rewritten.n + held.n} answers"
    if gain.low <= -WORTHWHILE:
        return StandingState.TRIED, f"it may still be worse than its controls by {WORTHWHILE:g}: {figures}"
    return StandingState.SETTLED, f"no worse than its controls: {figures}"


def _answers(
    settings: Settings, templates: Mapping[str, Template], standings: Standings
) -> Mapping[str, list[ScoredAnswer]]:
    """Return the scored answers of each template, oldest first."""
    judgements = {row.exchange: row.score for row in _judgements(settings) if row.score >= 0}
    answers: dict[str, list[ScoredAnswer]] = defaultdict(list)
    for spoken, record in _compared_records(settings, templates, standings):
        score = _score(spoken, record)
        score = judgements.get(spoken.id) if score is None else score
        if score is not None:
            answers[record.rewrite.template].append(_scored(record.rewrite.arm is Arm.STABLE, score))
    return answers


def _compared_records(
    settings: Settings, templates: Mapping[str, Template], standings: Standings
) -> Iterator[tuple[SpokenAnswer, SpokenRecord]]:
    """Yield the answers that belong to the experiment.

    These are answers to prompts that the current version of the template rewrote, and answers to prompts that the
    experiment left unchanged at random.
    """
    database = Database.open(database_url(settings))
    try:
        for spoken in database.spoken(sorted(templates)):
            record = read_spoken(spoken.record)
            rewrite, template = record.rewrite, templates[record.rewrite.template]
            standing = standings.get((template.id, template.text_digest))
            if not rewrite.controls or rewrite.version != template.version:
                continue
            if standing is not None and spoken.time_s < standing.since_s:
                continue
            if rewrite.arm is Arm.HELD or (rewrite.arm is Arm.STABLE and record.changed):
                yield spoken, record
    finally:
        database.close()


def _score(spoken: SpokenAnswer, record: SpokenRecord) -> float | None:
    """Return the score from feedback, else from limits stated in the client's prompt, else None."""
    if spoken.score is not None or record.policy != "full":
        return spoken.score
    checks = stated_checks(_query(spoken))
    return share_passed(record.answer.text, checks) if checks else None


def _query(spoken: SpokenAnswer) -> str:
    turns = _read_question(spoken.record).turns
    return next((turn.text for turn in reversed(turns) if turn.role == "user"), "")


def _judge(run: JobRun, templates: Mapping[str, Template], standings: Standings, most: int) -> None:
    """Let the judge score the oldest answers that have no other score, and store the judge's scores."""
    known = {row.exchange for row in _judgements(run.settings)}
    rows: list[DatasetRow] = []
    for spoken, record in _compared_records(run.settings, templates, standings):
        if len(rows) == most:
            break
        if spoken.id not in known and record.policy == "full" and _score(spoken, record) is None:
            rows.append(DatasetRow(_query(spoken), answer=record.answer.text, exchange=spoken.id))
    scores = {row.exchange: row.score for row in judge_rows(run, rows)} if rows else {}
    scored = [_JudgedAnswer(row.exchange, scores.get(row.exchange, -1.0)) for row in rows]
    file = _judgements_file(run.settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as out:
        out.write(b"".join(msgspec.json.encode(row) + b"\n" for row in scored))


def _judgements(settings: Settings) -> Iterator[_JudgedAnswer]:
    file = _judgements_file(settings)
    if file.exists():
        with file.open("rb") as lines:
            for line in lines:
                yield msgspec.json.decode(line, type=_JudgedAnswer)


def _judgements_file(settings: Settings) -> Path:
    return settings.data_folder / "jobs" / "control_scores.jsonl"


def _state(standings: Standings, template: Template) -> StandingState | None:
    standing = standings.get((template.id, template.text_digest))
    return standing.state if standing is not None else None
