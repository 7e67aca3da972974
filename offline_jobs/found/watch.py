"""Watches the canaries of found prompts: takes back a version that is worse by feedback or that breaks the answer
contract more often than the application's own text.

Both tests may be repeated after every answer. The controls are the conversations that were drawn to keep the
application's own text while the version was on trial.
"""

import time
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from gateway.exchange import Arm
from gateway.ports import Answer
from gateway.prompt.found.contract import AnswerContract, breach
from gateway.prompt.found.contract_file import ContractBroken, read_contract
from gateway.prompt.found.found_prompt import FoundPrompt, PromotedVersion, PromptState
from gateway.prompt.found.store import FoundFile, change_found, found_path, put, read_found
from gateway.records.database import Database
from gateway.records.locations import database_url
from gateway.records.scores import WORTHWHILE, Scores, difference
from gateway.records.spoken_record import SpokenRecord, read_spoken
from gateway.settings.tables import Settings
from offline_jobs.controls import WatchVerdict
from offline_jobs.engine.alert import alert
from offline_jobs.engine.run import JobRun
from offline_jobs.publish.decisions import LoggedDecision, log_decision
from offline_jobs.statistics.sequential import FirstGuess, ScoredAnswer, SequentialVerdict, judged

PREFIX = "found:"
KEPT = FirstGuess(level=0.99, level_weight=20, drop=0.08, drop_weight=20, least=0.03, edge=0.005)
"""The guess for shares of answers that keep a contract: nearly all. `benchmarks/contracts.py` has the figures."""


class CanaryAnswers(Struct):
    """The answers of a canary and of its controls, in the order of time."""

    scored: list[ScoredAnswer]
    """The feedback scores."""
    kept: list[ScoredAnswer]
    """1 for an answer that keeps the contract, 0 for one that breaks it."""
    since_growth: int = 0
    """The canary's judged answers since its share grew last."""


def watched(run: JobRun, only: str = "") -> list[WatchVerdict]:
    """Judge the canary of each found prompt. `only` is the name or the id of a prompt, or "" for all."""
    content = read_found(found_path(run.settings.data_folder))
    trials = [one for one in content.prompts if one.state is PromptState.ADOPTED and one.spoken is not None]
    chosen = [one for one in trials if only.removeprefix(PREFIX) in ("", one.name, one.id)]
    return [_watched(run, prompt, prompt.spoken) for prompt in chosen if prompt.spoken is not None]


def _watched(run: JobRun, prompt: FoundPrompt, spoken: PromotedVersion) -> WatchVerdict:
    settings, name = run.settings, PREFIX + prompt.name
    if spoken.share >= 1:
        return WatchVerdict(name, spoken.version, "kept waiting", "all conversations get it, so there is no control")
    contract, problem = _contract(settings, prompt)
    answers = canary_answers(settings, prompt, spoken, contract)
    what, reason = decided(answers, settings)
    if problem and what != "rolled back":
        # a canary that nothing guards goes no further
        what, reason = "kept waiting", f"its answers are not compared with the contract: {problem}"
    if what == "rolled back":
        stable = PromotedVersion(spoken.beneath, 1.0, time.time()) if spoken.beneath else None
        _speak(settings, prompt, spoken, stable)
    elif spoken.growth and not problem:
        what, reason = _grown(settings, prompt, spoken, answers, reason)
    elif what == "active":
        _speak(settings, prompt, spoken, PromotedVersion(spoken.version, 1.0, time.time()))
    if what != "kept waiting":
        log_decision(settings.data_folder, LoggedDecision(name, spoken.version, what, reason, run.job.id))
    if what == "rolled back":
        alert(settings, run.job.id, {"prompt": prompt.name, "version": spoken.version, "what": what, "reason": reason})
    return WatchVerdict(name, spoken.version, what, reason)


def _grown(
    settings: Settings, prompt: FoundPrompt, spoken: PromotedVersion, answers: CanaryAnswers, reason: str
) -> tuple[str, str]:
    """Give a version its next share if it had enough answers with the present one, and does not look worse. Nothing has
    shown it to be worse.
    """
    needed = settings.jobs.growth_answers
    if answers.since_growth < needed:
        what = f"{answers.since_growth} of {needed} judged answers with the share {spoken.share:g}"
        return "kept waiting", f"{what}; {reason}"
    for sides in map(judged, (answers.kept, answers.scored)):
        if sides.canary < sides.stable - WORTHWHILE:
            return "kept waiting", f"it may be worse by {WORTHWHILE:g} or more: {sides}"
    share, *rest = spoken.growth
    _speak(settings, prompt, spoken, replace(spoken, share=share, growth=tuple(rest), grown_s=time.time()))
    return "grown", f"its share grows from {spoken.share:g} to {share:g}; {reason}"


def _contract(settings: Settings, prompt: FoundPrompt) -> tuple[AnswerContract | None, str]:
    """Return the contract, or None if there is none, and what is wrong with its file."""
    try:
        return read_contract(settings.data_folder, prompt.id), ""
    except ContractBroken as error:
        return None, str(error)


def canary_answers(
    settings: Settings, prompt: FoundPrompt, spoken: PromotedVersion, contract: AnswerContract | None
) -> CanaryAnswers:
    """Read the answers since the version is sent. Without a contract, there are only feedback scores."""
    answers = CanaryAnswers([], [])
    database = Database.open(database_url(settings))
    try:
        for answer in database.spoken_for(PREFIX, spoken.since_s):
            record = read_spoken(answer.record)
            side = _side(record, prompt, spoken)
            if side is None:
                continue
            rated = answer.score is not None
            if answer.score is not None:
                answers.scored.append(ScoredAnswer(side, answer.score))
            if contract is not None and record.policy == "full":
                text = Answer(record.answer.text, record.answer.finish, calls=record.answer.calls)
                answers.kept.append(ScoredAnswer(side, float(not breach(contract, text))))
                rated = True
            answers.since_growth += side and rated and record.time_s >= spoken.grown_s
    finally:
        database.close()
    return answers


def _side(record: SpokenRecord, prompt: FoundPrompt, spoken: PromotedVersion) -> bool | None:
    """Return True for an answer of the canary, False for one of a control, and None for any other answer.

    The name of a prompt may change, so its id decides.
    """
    if record.recognised.partition("@")[0] != prompt.id or record.rewrite.version != spoken.version:
        return None
    if record.rewrite.arm is Arm.HELD:
        return False
    return True if record.rewrite.arm is Arm.CANARY and record.changed else None


def decided(answers: CanaryAnswers, settings: Settings) -> tuple[str, str]:
    """Return what becomes of a canary (`rolled back`, `active`, `ready` or `kept waiting`), and the reason."""
    contract, feedback = judged(answers.kept, guess=KEPT), judged(answers.scored)
    for verdict, why in ((contract, "it breaks the answer contract more often"), (feedback, "it is worse")):
        if verdict.worse:
            return "rolled back", f"{why}: {verdict}, {verdict.own} of its own"
    return _waiting_or_ready(answers, contract, feedback, settings)


def _waiting_or_ready(
    answers: CanaryAnswers, contract: SequentialVerdict, feedback: SequentialVerdict, settings: Settings
) -> tuple[str, str]:
    needed = settings.jobs.canary_answers
    sides = {side: Scores.of(one.score for one in answers.scored if one.canary is side) for side in (True, False)}
    if sides[True].n < needed or not sides[False].n:
        kept = f"; contract kept {contract}" if answers.kept else ""
        return "kept waiting", f"{sides[True].n} of {needed} scored answers; {feedback}{kept}"
    gain = difference(sides[True], sides[False], Random(0))
    figures = f"difference {gain.difference:.3f} [{gain.low:.3f}, {gain.high:.3f}] over {sides[True].n} answers"
    if gain.low <= -WORTHWHILE:
        return "kept waiting", f"it may still be worse by {WORTHWHILE:g}: {figures}"
    if answers.kept and contract.canary < contract.stable - WORTHWHILE:
        return "kept waiting", f"it may break the contract more often: {contract}"
    return ("active" if settings.jobs.auto == "active" else "ready"), f"no worse: {figures}"


def _speak(settings: Settings, prompt: FoundPrompt, before: PromotedVersion, now: PromotedVersion | None) -> None:
    """Change what is sent. If a person has changed it in the meantime, that stays."""

    def changed(content: FoundFile) -> FoundFile:
        current = [one for one in content.prompts if one.id == prompt.id and one.spoken == before]
        return put(content, [replace(one, spoken=now) for one in current])

    change_found(found_path(settings.data_folder), changed)
