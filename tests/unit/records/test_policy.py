import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.errors import Problem
from gateway.exchange import Arm, Rewrite
from gateway.ports import Answer
from gateway.records.policy import hashed_record, hashed_text, policy_problems
from gateway.records.schema import ExchangeRecord, encode, record_of
from gateway.settings.keys import AccessKey
from gateway.settings.records import Records
from gateway.settings.tables import Settings
from tests.doubles.exchanges import an_exchange, an_outcome


def test_a_hashed_text_tells_its_hash_and_length_only() -> None:
    assert hashed_text("Grüße") == f"sha256:{hashlib.sha256('Grüße'.encode()).hexdigest()}:5"
    assert hashed_text("") == ""


def test_a_hashed_record_holds_no_word_of_the_user_the_documents_or_the_answer() -> None:
    outcome = replace(an_outcome(), error="secret refused")
    record = replace(
        record_of(an_exchange(), outcome, "hashed"), answer=Answer("secret", "stop", 7, 3, {"a": "secret"})
    )

    assert b"secret" in encode(record)
    assert b"secret" not in encode(hashed_record(record))


def test_what_was_kept_back_from_a_control_is_hashed_too() -> None:
    withheld = Rewrite("sum.en", 1, arm=Arm.HELD, withheld=(Turn("user", "my secret question"),))
    record = ExchangeRecord("ex-1", rewrite=withheld)

    kept = hashed_record(record).rewrite

    assert (kept.arm, kept.withheld[0].text) == (Arm.HELD, hashed_text("my secret question"))


def test_a_hashed_record_keeps_figures_and_names() -> None:
    record = record_of(an_exchange(), an_outcome(), "hashed")

    kept = hashed_record(record)

    assert (kept.id, kept.model, kept.intent.name, kept.intent.confidence) == ("ex-1", "small", "classify-text", 0.9)
    assert (kept.rewrite.template, kept.rewrite.version) == ("classify-text/en", 2)
    assert (kept.total_us, kept.status, kept.ending) == (1000, 200, "finished")
    assert kept.notes[0].data == {"slots": [hashed_text("my secret")], "score": 0.5}
    assert kept.turns[0].text == hashed_text("my secret question")


@pytest.mark.parametrize("policy", ["full", "hashed", "none"])
def test_known_policies_are_no_problem(policy: str, tmp_path: Path) -> None:
    assert list(policy_problems(Settings(tmp_path, records=Records(policy)))) == []


def test_every_unknown_policy_is_reported(tmp_path: Path) -> None:
    settings = Settings(tmp_path, records=Records("hash"), keys={"app": AccessKey(record="nothing")})

    assert list(policy_problems(settings)) == [
        Problem("config.toml [records] policy", "unknown record policy 'hash'", "Known: full, hashed, none."),
        Problem("config.toml [keys.app] record", "unknown record policy 'nothing'", "Known: full, hashed, none."),
    ]
