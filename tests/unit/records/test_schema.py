from base64 import b64decode
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from gateway.exchange import Mode
from gateway.ports import Answer
from gateway.records.schema import SCHEMA, UPGRADES, UnknownSchema, decode, encode, record_of, upgraded
from tests.doubles.exchanges import an_exchange, an_outcome

# As version 1 wrote it. Never regenerate this: old databases hold such records.
FROZEN_1 = Path(__file__).with_name("record_1.base64")


def test_a_record_is_read_back_as_it_was_written() -> None:
    record = record_of(an_exchange(), an_outcome(), "full")

    assert decode(encode(record)) == record


def test_a_record_of_version_1_still_says_what_it_said() -> None:
    said = replace(record_of(an_exchange(), an_outcome(), "full"), answer=Answer("The secret answer.", "stop", 7, 3))

    assert decode(b64decode(FROZEN_1.read_text())) == said


def test_every_older_version_has_a_way_up() -> None:
    assert set(UPGRADES) == set(range(1, SCHEMA))


def test_a_record_goes_up_one_version_at_a_time() -> None:
    upgrades = {1: lambda old: {"b": old["a"]}, 2: lambda old: {"c": old["b"]}}

    assert upgraded({"schema": 1, "a": 5}, 1, 3, upgrades) == {"schema": 3, "c": 5}


def test_a_record_of_a_newer_version_is_refused_with_the_remedy() -> None:
    newer = msgspec.msgpack.encode({"id": "x", "schema": SCHEMA + 1})

    with pytest.raises(UnknownSchema, match=f"schema {SCHEMA + 1}.*Upgrade Foreword"):
        decode(newer)


@pytest.mark.parametrize(("mode", "sent"), [(Mode.ON, "Answer in one word."), (Mode.SHADOW, "my secret question")])
def test_what_was_sent_is_the_new_prompt_only_if_it_was_really_sent(mode: Mode, sent: str) -> None:
    record = record_of(replace(an_exchange(), mode=mode), an_outcome(), "full")

    assert record.sent[0].text == sent
