"""What the records say about two versions of a template, and about a template and none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.errors import BadRequest
from gateway.exchange import Arm, Rewrite
from gateway.ports import Answer
from gateway.records.compare import Better, ComparedVersion, compare, read_versions
from gateway.records.database import Database
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord

A, B = ComparedVersion("sum.en", 1), ComparedVersion("sum.en", 2)
RECORD = ExchangeRecord("", time_s=100.0, ending="finished", status=200, total_us=2000, changed=True)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path / 'records.db'}")
    yield database
    database.close()


def fill(
    database: Database, name: str, scores: list[float | None], version: int = 1, arm: Arm = Arm.STABLE, **fields: Any
) -> None:
    """One exchange for each score; None is an exchange that nobody judged."""
    one = replace(RECORD, rewrite=Rewrite("sum.en", version, arm=arm), answer=Answer("An answer.", "stop", 10, 4))
    one = replace(one, changed=arm is not Arm.HELD, **fields)
    ids = [f"{name}-{number}" for number in range(len(scores))]
    database.insert([replace(one, id=id) for id in ids])
    for id, score in zip(ids, scores, strict=True):
        if score is not None:
            database.add_feedback(Feedback(id, score))


def test_the_better_version_is_named_with_its_interval(database: Database) -> None:
    fill(database, "a", [1.0] * 60 + [0.0] * 40)
    fill(database, "b", [1.0] * 90 + [0.0] * 10, 2, Arm.CANARY)

    found = compare(database, A, B)

    (feedback,) = found.measures
    assert (feedback.n_a, feedback.n_b, feedback.mean_a, feedback.mean_b) == (100, 100, 0.6, 0.9)
    assert feedback.better is Better.B
    assert feedback.verdict == "sum.en@2 is better by 0.30 [0.18, 0.41]"
    assert found.cautions == ()


def test_too_little_says_how_much_is_needed(database: Database) -> None:
    fill(database, "a", [1.0] * 6 + [0.0] * 6)
    fill(database, "b", [1.0] * 8 + [0.0] * 4, 2, Arm.CANARY)

    (feedback,) = compare(database, A, B).measures

    assert feedback.better is Better.UNKNOWN
    assert feedback.verdict == "not enough data: 12 of about 146 needed on each side"


def test_much_of_the_same_is_alike(database: Database) -> None:
    fill(database, "a", [1.0] * 950 + [0.0] * 50)
    fill(database, "b", [1.0] * 955 + [0.0] * 45, 2, Arm.CANARY)

    (feedback,) = compare(database, A, B).measures

    assert feedback.better is Better.ALIKE


def test_without_scores_there_is_nothing_to_compare_and_it_is_said_for_whom(database: Database) -> None:
    fill(database, "a", [None, 1.0])
    fill(database, "b", [None], 2, Arm.CANARY)

    found = compare(database, A, B)

    assert found.measures[0].verdict == "nothing to compare: sum.en@2 has no score from feedback"
    assert (found.side_a.exchanges, found.side_b.exchanges) == (2, 1)


def test_raw_is_what_was_held_back_from_that_version(database: Database) -> None:
    fill(database, "a", [1.0] * 30)
    fill(database, "held", [0.0] * 20, 1, Arm.HELD)
    fill(database, "other", [1.0] * 20, 2, Arm.HELD)
    fill(database, "shadow", [1.0] * 20, 1, Arm.SHADOW)

    found = compare(database, *read_versions("sum.en@1", "raw"))

    (feedback,) = found.measures
    assert (feedback.n_a, feedback.n_b, feedback.better) == (30, 20, Better.A)


def test_prompts_by_name_count_between_versions_and_not_against_controls(database: Database) -> None:
    fill(database, "named", [1.0], 1, Arm.NONE)
    fill(database, "held", [0.0], 1, Arm.HELD)

    assert compare(database, A, B).side_a.exchanges == 1
    assert compare(database, *read_versions("sum.en@1", "raw")).side_a.exchanges == 0


def test_several_opinions_on_one_answer_are_one_score(database: Database) -> None:
    fill(database, "a", [1.0])
    database.add_feedback(Feedback("a-0", 0.0))

    assert compare(database, A, B).side_a.feedback == {0.5: 1}


def test_answers_that_failed_or_came_before_do_not_count(database: Database) -> None:
    fill(database, "a", [1.0])
    fill(database, "failed", [0.0], status=500)
    fill(database, "left", [0.0], ending="left")
    fill(database, "old", [0.0], time_s=5.0)

    assert compare(database, A, B, since_s=50.0).side_a.feedback == {1.0: 1}


def test_checks_judge_what_was_recorded_in_full(database: Database) -> None:
    fill(database, "a", [None] * 3)
    fill(database, "b", [None] * 3, 2, Arm.CANARY, answer=Answer("Other."))
    fill(database, "hashed", [None] * 3, policy="hashed")

    found = compare(database, A, B, score_text=lambda text: float(text == "An answer."))

    assert (found.side_a.checks, found.side_b.checks) == ({1.0: 3}, {0.0: 3})


def test_tokens_and_time_are_means_of_what_was_told(database: Database) -> None:
    fill(database, "a", [None] * 2)
    fill(database, "untold", [None], answer=Answer(), total_us=8000)

    side = compare(database, A, B).side_a

    assert (side.prompt_tokens.n, side.prompt_tokens.mean) == (2, 10)
    assert side.milliseconds.mean == pytest.approx(4.0)


def test_what_was_not_assigned_at_random_is_said(database: Database) -> None:
    fill(database, "a", [1.0])
    fill(database, "b", [1.0], 2, time_s=200.0)

    assert compare(database, A, B).cautions == (
        "the versions ran at different times, so other changes may explain the difference",
    )
    assert "two different templates" in compare(database, A, ComparedVersion("other.en", 1)).cautions[0]


def test_answers_from_before_the_other_version_existed_are_not_counted_and_it_is_said(database: Database) -> None:
    fill(database, "before", [0.0] * 50, time_s=10.0)
    for number, time_s in enumerate((100.0, 150.0, 200.0)):
        fill(database, f"a{number}", [1.0] * 10, time_s=time_s)
        fill(database, f"b{number}", [1.0] * 10, 2, Arm.CANARY, time_s=time_s)
    fill(database, "after", [0.0] * 5, 2, time_s=300.0)

    result = compare(database, A, B)

    assert (result.side_a.exchanges, result.side_a.left_out, result.side_b.left_out) == (30, 50, 5)
    assert (result.measures[0].mean_a, result.measures[0].mean_b) == (1.0, 1.0)
    assert result.cautions == (
        "the versions ran at the same time only in part: 50 answers of sum.en@1 and 5 answers of sum.en@2"
        " from other times are not counted",
    )


def test_controls_are_compared_over_the_time_in_which_some_were_held_back(database: Database) -> None:
    fill(database, "before", [0.0] * 20, time_s=10.0)
    fill(database, "a", [1.0] * 20)
    fill(database, "held", [0.0] * 20, 1, Arm.HELD)

    result = compare(database, *read_versions("sum.en@1", "raw"))

    assert (result.measures[0].n_a, result.measures[0].mean_a, result.side_a.left_out) == (20, 1.0, 20)


@pytest.mark.parametrize(
    ("a", "b"), [("sum.en", "raw"), ("raw", "raw"), ("sum.en@1", "sum.en@1"), ("sum.en@x", "raw"), ("", "sum.en@1")]
)
def test_what_cannot_be_compared_is_refused(a: str, b: str) -> None:
    with pytest.raises(BadRequest):
        read_versions(a, b)
