"""What the records say about each template: its share, the reasons against it, its scores and its cost."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.exchange import Arm, Intent, Note, Rewrite
from gateway.ports import Answer
from gateway.records.database import Database
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord
from gateway.records.template_report import MOST_REASONS, NO_TEMPLATE, OTHER, as_json, report, rows_of


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path / 'records.db'}")
    yield database
    database.close()


def decided(id: str, arm: Arm, *, changed: bool = False, time_s: float = 100.0, reason: str = "") -> ExchangeRecord:
    rewrite = Rewrite("sum.en", 1, arm=arm, tokens_without=10, tokens_with=34)
    notes = (Note("rewrite", str(arm), reason, {"template": "sum.en"}),)
    return ExchangeRecord(
        id,
        time_s=time_s,
        status=200,
        ending="finished",
        intent=Intent("summarise", 0.9),
        rewrite=rewrite,
        changed=changed,
        notes=notes,
        answer=Answer("An answer.", "stop", 30, 4),
    )


def kept(id: str, reason: str, template: str = "") -> ExchangeRecord:
    data = {"template": template} if template else {}
    notes = (Note("classify", "summarise"), Note("rewrite", "kept", reason, data))
    return ExchangeRecord(id, time_s=100.0, status=200, ending="finished", intent=Intent("summarise", 0.9), notes=notes)


def test_each_template_has_a_row_with_shares_scores_and_added_tokens(database: Database) -> None:
    rewritten = [decided(f"r{n}", Arm.STABLE, changed=True) for n in range(20)]
    held = [decided(f"h{n}", Arm.HELD) for n in range(10)]
    database.insert([*rewritten, *held, decided("s", Arm.SHADOW, reason="not proven for model x")])
    for record in rewritten:
        database.add_feedback(Feedback(record.id, 1.0))
    for record in held:
        database.add_feedback(Feedback(record.id, 0.0))

    (use,) = report(database)

    assert (use.decided, use.rewritten, use.held, use.shadow, use.kept) == (31, 20, 10, 1, 0)
    assert use.gain is not None
    assert use.gain.difference == 1.0
    assert use.gain.low > 0.5
    assert (use.tokens_added.n, use.tokens_added.mean) == (20, 24.0)
    assert (use.prompt_tokens.n, use.prompt_tokens.mean) == (20, 30.0)
    assert use.top_reasons == [("not proven for model x", 1)]
    (row,) = rows_of([use])
    assert row[:3] == ("sum.en", "31", "20 (65%)")
    assert row[-1] == "+24"


def test_a_kept_request_counts_for_its_template_and_reasons_that_differ_in_numbers_are_one(database: Database) -> None:
    reasons = [f"sum.en@2 would add {n} characters for smollm2-135m; it may add 900" for n in (1000, 2000, 3000)]
    database.insert([kept(f"k{n}", reason, "sum.en") for n, reason in enumerate(reasons)])

    (use,) = report(database)

    assert (use.template, use.kept) == ("sum.en", 3)
    assert use.top_reasons == [("sum.en@2 would add N characters for smollm2-135m; it may add N", 3)]


def test_requests_without_a_template_are_the_last_row(database: Database) -> None:
    database.insert([kept(f"k{n}", "improvable 0.10 is below 0.50") for n in range(5)])
    database.insert([decided("r", Arm.STABLE, changed=True)])

    uses = report(database)

    assert [use.template for use in uses] == ["sum.en", NO_TEMPLATE]
    assert uses[1].gain is None


def test_requests_from_before_and_without_any_decision_are_not_read(database: Database) -> None:
    plain = ExchangeRecord("p", time_s=100.0, status=200, ending="finished")
    database.insert([plain, decided("old", Arm.STABLE, changed=True, time_s=5.0)])

    assert report(database, since_s=50.0) == []


def test_the_number_of_reasons_is_bounded(database: Database) -> None:
    names = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(MOST_REASONS + 30)]
    database.insert([kept(name, f"reason {name}", "sum.en") for name in names])

    (use,) = report(database)

    assert use.reasons[OTHER] == 30
    assert len(use.reasons) == MOST_REASONS + 1


def test_unknown_figures_are_null_in_json(database: Database) -> None:
    database.insert([decided("s", Arm.SHADOW)])

    (row,) = msgspec.json.decode(as_json(report(database), {"sum.en": "settled"}))

    assert row["feedback"] == {"n": 0, "mean": None}
    assert row["gain"] is None
    assert row["against_controls"] == "settled"
    assert row["tokens_added"]["mean"] is None
