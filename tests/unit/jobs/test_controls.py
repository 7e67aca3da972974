"""A template that is worse than its own controls is put back into the shadow, and one that is no worse is settled."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from gateway.exchange import Arm
from gateway.prompt.policy.standings import StandingState, read_standings, standings_path
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord
from gateway.settings.tables import Settings
from offline_jobs.controls import compared
from offline_jobs.engine.ledger import Ledger
from offline_jobs.engine.work import jobs_folder, start
from offline_jobs.publish.decisions import decisions
from offline_jobs.statistics.sequential import ScoredAnswer
from tests.doubles.recorded import a_record, settings_in, stored
from tests.doubles.templates import source, write

RUNS = 60


def answers(rewritten: float, held: float, controls: float, count: int, draw: Random) -> list[ScoredAnswer]:
    """Answers that are right with these chances; `controls` of them are controls."""
    sides = [draw.random() >= controls for _ in range(count)]
    return [ScoredAnswer(side, float(draw.random() < (rewritten if side else held))) for side in sides]


def share_in_shadow(rewritten: float, held: float, controls: float, count: int) -> float:
    runs = [compared(answers(rewritten, held, controls, count, Random(seed)), 200)[0] for seed in range(RUNS)]
    return runs.count(StandingState.SHADOW) / RUNS


@pytest.mark.parametrize(("controls", "count"), [(0.3, 300), (0.05, 1500)])
@pytest.mark.parametrize("held", [0.9, 0.5])
def test_a_template_worse_by_0_3_is_in_the_shadow_in_19_of_20_runs(held: float, controls: float, count: int) -> None:
    assert share_in_shadow(held - 0.3, held, controls, count) >= 0.95


@pytest.mark.parametrize(("controls", "count"), [(0.3, 600), (0.05, 1500)])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_a_template_that_is_no_worse_is_in_the_shadow_in_at_most_1_of_20_runs(
    level: float, controls: float, count: int
) -> None:
    assert share_in_shadow(level, level, controls, count) <= 0.05


def test_a_template_that_is_no_worse_is_settled_when_the_answers_suffice() -> None:
    good = answers(0.9, 0.8, 0.3, 1000, Random(1))
    assert compared(good, 200)[0] is StandingState.SETTLED
    assert compared(good[:100], 200)[0] is StandingState.TRIED


def control_records(
    rewritten: float, held: float, count: int, *, controls: float = 0.3
) -> tuple[list[ExchangeRecord], list[Feedback]]:
    records, opinions = [], []
    for number, answer in enumerate(answers(rewritten, held, 0.3, count, Random(1))):
        arm = Arm.STABLE if answer.canary else Arm.HELD
        record = a_record(number, f"q {number}", template="refund.en", arm=arm)
        rewrite = replace(record.rewrite, controls=controls)
        records.append(replace(record, rewrite=rewrite, changed=answer.canary))
        opinions.append(Feedback(record.id, score=answer.score))
    return records, opinions


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write(tmp_path / "templates", "one", source())
    return settings_in(tmp_path)


def watched(settings: Settings) -> list[dict[str, object]]:
    ledger = Ledger(jobs_folder(settings))
    try:
        report: list[dict[str, object]] = json.loads(start(settings, ledger, "watch", {}).report)
        return report
    finally:
        ledger.close()


def states(settings: Settings) -> Sequence[StandingState]:
    return [standing.state for standing in read_standings(standings_path(settings.data_folder)).values()]


def test_a_worse_template_is_put_back_into_the_shadow_once_with_its_reason(settings: Settings) -> None:
    stored(settings, *control_records(0.4, 0.8, 300))

    (verdict,) = watched(settings)

    assert verdict["what"] == "shadow"
    (decision,) = decisions(settings.data_folder)
    assert (decision.template, decision.what) == ("refund.en", "shadow")
    assert decision.reason.startswith("worse than its controls: 0.")
    assert states(settings) == [StandingState.SHADOW]
    assert watched(settings) == []


def test_a_settled_template_is_compared_further(settings: Settings) -> None:
    stored(settings, *control_records(0.95, 0.7, 600))
    assert [verdict["what"] for verdict in watched(settings)] == ["settled"]
    assert [verdict["what"] for verdict in watched(settings)] == ["settled"]
    assert [decision.what for decision in decisions(settings.data_folder)] == ["settled"]


def test_answers_that_chance_did_not_assign_do_not_count(settings: Settings) -> None:
    stored(settings, *control_records(0.4, 0.8, 300, controls=0.0))
    assert watched(settings) == []


def test_a_changed_text_starts_again(settings: Settings, tmp_path: Path) -> None:
    stored(settings, *control_records(0.4, 0.8, 300))
    watched(settings)
    write(tmp_path / "templates", "one", source("# user\n{{ query }}\n\nBe brief.", version=2))
    assert watched(settings) == []


def test_the_limits_of_the_clients_own_prompt_score_where_nobody_does(settings: Settings) -> None:
    records, _ = control_records(0.4, 0.8, 300)
    short, long = "A few words.", "word " * 40
    stored(
        settings,
        [
            replace(
                record,
                asked=tuple(replace(turn, text="Describe the sea in at most 10 words.") for turn in record.asked),
                answer=replace(record.answer, text=long if record.rewrite.arm is Arm.STABLE else short),
            )
            for record in records
        ],
    )
    assert [verdict["what"] for verdict in watched(settings)] == ["shadow"]
