"""A canary that is worse is taken back soon, one that is not never, and one that did well takes over."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Arm
from gateway.prompt.library.library import load_library
from gateway.prompt.library.pointers import Pointer, move, read_pointers
from gateway.records.feedback import Feedback
from gateway.settings.tables import Settings
from offline_jobs.engine.ledger import Ledger, LedgerJob
from offline_jobs.engine.work import jobs_folder, start
from offline_jobs.publish.decisions import decisions
from offline_jobs.statistics.sequential import ALARM, AnswerBlock, ScoredAnswer, blocks, growth, judged
from tests.doubles.recorded import a_record, settings_in, stored
from tests.doubles.templates import source, write


def stream(canary: float, stable: float, count: int, draw: Random, share: float = 0.5) -> list[ScoredAnswer]:
    """Answers that are right with these chances."""
    sides = [draw.random() < share for _ in range(count)]
    return [ScoredAnswer(side, float(draw.random() < (canary if side else stable))) for side in sides]


def found(canary: float, stable: float, count: int, runs: int, share: float = 0.5, before: int = 0) -> float:
    """In which part of the runs the canary is taken back."""
    known = [1.0] * round(before * stable) + [0.0] * round(before * (1 - stable))
    streams = (stream(canary, stable, count, Random(seed), share) for seed in range(runs))
    return sum(judged(answers, known).worse for answers in streams) / runs


@pytest.mark.parametrize(("stable", "canary"), [(0.9, 0.55), (0.6, 0.2)])
def test_a_planted_regression_is_found_within_200_answers(stable: float, canary: float) -> None:
    assert found(canary, stable, 200, runs=200, before=100) >= 0.95


def test_a_small_share_is_enough_where_the_stable_version_is_known() -> None:
    assert found(0.4, 0.9, 200, runs=200, share=0.1, before=100) >= 0.7


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_without_one_next_to_nothing_is_found_however_long_one_looks(level: float, share: float) -> None:
    assert found(level, level, 1000, runs=200, share=share) <= 2 * ALARM


@pytest.mark.parametrize("level", [0.5, 0.7, 0.9])
def test_false_alarms_keep_to_what_is_said_even_with_a_wrong_guess(level: float) -> None:
    known = [1.0] * 500
    alarms = [judged(stream(level, level, 400, Random(seed), 0.2), known).worse for seed in range(400)]
    assert sum(alarms) / len(alarms) <= 2 * ALARM


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 4), st.integers(1, 4))
def test_no_bet_is_expected_to_gain_where_both_are_equally_good(
    mean: float, stable: float, canary: float, own: int, others: int
) -> None:
    expected = 0.0
    for scores in product((0.0, 1.0), repeat=own + others):
        chance = mean ** sum(scores) * (1 - mean) ** (len(scores) - sum(scores))
        expected += chance * growth(AnswerBlock(scores[:own], scores[own:]), stable, canary)
    assert expected <= 1 + 1e-9


def test_each_answer_is_in_one_block_that_ends_when_both_have_spoken() -> None:
    canary, stable = ScoredAnswer(True, 1.0), ScoredAnswer(False, 0.0)
    other = ScoredAnswer(False, 1.0)
    assert list(blocks([stable, other, canary, canary, canary, stable, other])) == [
        AnswerBlock([1.0], [0.0, 1.0]),
        AnswerBlock([1.0, 1.0], [0.0]),
    ]


def prepared(folder: Path, canary: float, stable: float, count: int, **jobs: object) -> Settings:
    settings = settings_in(folder, jobs=jobs)
    write(folder / "templates", "one", source())
    write(folder / "templates", "two", source(version=2, status="candidate"))
    move(folder / "templates", "refund.en", Pointer(production=1, canary=2, share=0.5))
    draw = Random(1)
    records, said = [], []
    for number, answer in enumerate(stream(canary, stable, count, draw)):
        version, arm = (2, Arm.CANARY) if answer.canary else (1, Arm.STABLE)
        records.append(a_record(number, f"q {number}", template="refund.en", version=version, arm=arm))
        said.append(Feedback(records[-1].id, score=answer.score))
    stored(settings, records, said)
    return settings


def watched(settings: Settings) -> LedgerJob:
    ledger = Ledger(jobs_folder(settings))
    try:
        return start(settings, ledger, "watch", {})
    finally:
        ledger.close()


@pytest.fixture
def pointer(tmp_path: Path) -> Callable[[], Pointer]:
    return lambda: read_pointers(tmp_path / "templates")["refund.en"].pointer


def test_a_worse_canary_is_taken_back_and_the_reason_stays(tmp_path: Path, pointer: Callable[[], Pointer]) -> None:
    settings = prepared(tmp_path, 0.3, 0.9, 150)
    job = watched(settings)
    assert (pointer().production, pointer().canary) == (1, 0)
    library, _ = load_library([tmp_path / "templates"])
    assert library.candidates("refund", "en").canary is None
    (decision,) = decisions(settings.data_folder)
    assert (decision.what, decision.version, decision.by) == ("rolled back", 2, job.id)
    assert decision.reason.startswith("it is worse: 0.")
    assert json.loads(watched(settings).report) == []


def test_a_canary_by_its_files_status_alone_is_watched_too(tmp_path: Path) -> None:
    settings = prepared(tmp_path, 0.3, 0.9, 150)
    (tmp_path / "templates" / "pointers.yaml").unlink()
    write(tmp_path / "templates", "two", source(version=2, status="canary"))
    (verdict,) = json.loads(watched(settings).report)
    assert (verdict["version"], verdict["what"]) == (2, "rolled back")
    library, _ = load_library([tmp_path / "templates"])
    assert library.candidates("refund", "en").canary is None
    assert json.loads(watched(settings).report) == []


def test_answers_of_an_earlier_canary_are_nobodys(tmp_path: Path, pointer: Callable[[], Pointer]) -> None:
    settings = prepared(tmp_path, 0.9, 0.9, 100)
    older = [a_record(900 + at, f"o {at}", template="refund.en", version=3, arm=Arm.CANARY) for at in range(300)]
    stored(settings, older, [Feedback(one.id, score=1.0) for one in older])
    (seen,) = json.loads(watched(settings).report)
    assert "over 100 answers" in seen["reason"] or "over 99 answers" in seen["reason"]


def test_a_canary_without_enough_answers_goes_on(tmp_path: Path, pointer: Callable[[], Pointer]) -> None:
    settings = prepared(tmp_path, 0.8, 0.8, 60)
    (seen,) = json.loads(watched(settings).report)
    assert (seen["what"], pointer().canary) == ("kept waiting", 2)
    assert list(decisions(settings.data_folder)) == []


@pytest.mark.parametrize(("auto", "what", "production"), [("active", "active", 2), ("canary", "ready", 1)])
def test_a_canary_that_did_well_takes_over_only_where_it_may(
    tmp_path: Path, pointer: Callable[[], Pointer], auto: str, what: str, production: int
) -> None:
    settings = prepared(tmp_path, 0.95, 0.6, 500, auto=auto)
    (seen,) = json.loads(watched(settings).report)
    assert (seen["what"], pointer().production) == (what, production)


def test_checks_tell_where_nobody_does(tmp_path: Path, pointer: Callable[[], Pointer]) -> None:
    settings = settings_in(tmp_path)
    write(tmp_path / "templates", "one", source())
    write(tmp_path / "templates", "two", source(version=2, status="candidate", more="checks: [{max_words: 2}]\n"))
    move(tmp_path / "templates", "refund.en", Pointer(production=1, canary=2, share=0.5))
    arms = [(1, Arm.STABLE, "short"), (2, Arm.CANARY, "much too long an answer")]
    records = [
        a_record(number, f"q {number}", text, template="refund.en", version=version, arm=arm)
        for number in range(200)
        for version, arm, text in [arms[number % 2]]
    ]
    stored(settings, records)
    watched(settings)
    assert pointer().canary == 0
