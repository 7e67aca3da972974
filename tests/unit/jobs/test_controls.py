"""A template that is worse than its own controls is put back into the shadow, and one that is no worse is settled."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from gateway.cli.main import main
from gateway.exchange import Arm
from gateway.prompt.policy.standings import StandingState, read_standings, standings_path, write_standing
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
from tests.doubles.toy_model import toy_model

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


def watched(settings: Settings, **words: object) -> list[dict[str, object]]:
    ledger = Ledger(jobs_folder(settings))
    try:
        report: list[dict[str, object]] = json.loads(start(settings, ledger, "watch", words).report)
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
                turns=tuple(replace(turn, text="Describe the sea in at most 10 words.") for turn in record.turns),
                answer=replace(record.answer, text=long if record.rewrite.arm is Arm.STABLE else short),
            )
            for record in records
        ],
    )
    assert [verdict["what"] for verdict in watched(settings)] == ["shadow"]


def templates(folder: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["templates", command, *arguments, "--config", str(folder / "config.toml")])


def test_an_operator_sees_a_template_in_the_shadow_and_brings_it_back(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[data]\nfolder = "data"\n[prompt]\ntemplates = ["templates"]\n', "utf-8")
    stored(settings, *control_records(0.4, 0.8, 300))
    watched(settings)

    (row,) = json.loads(templates(tmp_path, "list", "--json").stdout)
    assert row["against_controls"] == "shadow"
    assert row["reason"].startswith("worse than its controls")
    assert templates(tmp_path, "resume", "refund.en").exit_code == 0
    assert states(settings) == [StandingState.TRIED]
    again = templates(tmp_path, "resume", "refund.en")
    assert (again.exit_code, "nothing to resume" in again.stderr) == (1, True)


def test_only_answers_since_the_resumption_count(settings: Settings) -> None:
    records, opinions = control_records(0.4, 0.8, 300)
    stored(settings, records, opinions)
    watched(settings)
    path = standings_path(settings.data_folder)
    (before,) = read_standings(path).values()
    write_standing(path, replace(before, state=StandingState.TRIED, since_s=records[-5].time_s))

    (verdict,) = watched(settings)

    assert verdict["what"] == "kept waiting"
    assert "of 200 scored answers" in str(verdict["reason"])


def test_a_judge_scores_what_nothing_else_can_and_judges_no_answer_twice(tmp_path: Path) -> None:
    calls = []

    def mind(_model: str, messages: list[dict[str, str]]) -> str:
        calls.append(messages[-1]["content"])
        return "NO" if "a rewritten answer" in messages[-1]["content"] else "YES"

    write(tmp_path / "templates", "one", source())
    with toy_model(mind) as toy:
        backend = {"kind": "openai", "base_url": f"http://127.0.0.1:{toy.port}/v1", "models": ["toy"], "api_key": "x"}
        settings = settings_in(
            tmp_path, backends={"toy": backend}, routing={"default": "toy"}, jobs={"judge": "toy", "calls": 200}
        )
        records, _ = control_records(0.5, 0.5, 60)
        texts = {Arm.STABLE: "a rewritten answer", Arm.HELD: "a plain answer"}
        answered = [replace(one, answer=replace(one.answer, text=texts[one.rewrite.arm])) for one in records]
        stored(settings, answered)
        assert watched(settings) == []
        (some,) = watched(settings, judge=6)
        (verdict,) = watched(settings, judge=100)

    assert some["what"] == "kept waiting"
    assert verdict["what"] == "shadow"
    assert len(calls) == len(set(calls)) == 60
