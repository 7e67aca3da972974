from base64 import b64decode
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from gateway.ask import Mode
from gateway.ports import Answer
from gateway.records.schema import (
    SCHEMA,
    UPGRADES,
    ExchangeRecord,
    ListedFields,
    UnknownSchema,
    decode,
    encode,
    entry,
    record_of,
    upgraded,
)
from tests.doubles.exchanges import an_exchange, an_outcome

# As version 1 wrote it. Never regenerate this: old databases hold such records.
FROZEN_1 = Path(__file__).with_name("record_1.base64")


def test_a_record_is_read_back_as_it_was_written() -> None:
    record = record_of(an_exchange(), an_outcome(), "full")

    assert decode(encode(record)) == record


def test_a_record_of_version_1_still_says_what_it_said() -> None:
    said = replace(record_of(an_exchange(), an_outcome(), "full"), answer=Answer("The secret answer.", "stop", 7, 3))

    assert decode(b64decode(FROZEN_1.read_text())) == said


ANSWER = Answer("The secret answer.", "stop", 7, 3, {"more": 1})
SPOOLED = record_of(an_exchange(), an_outcome(), "full")


def columns(record: ListedFields | ExchangeRecord) -> tuple[object, ...]:
    return (record.id, record.time_s, record.key, record.endpoint, record.model, record.intent.name,
            record.rewrite.template, record.status, record.ending, record.total_us, record.answer)  # fmt: skip


@pytest.mark.parametrize("record", [SPOOLED, replace(SPOOLED, job="harvest"), replace(SPOOLED, answer=ANSWER)])
@pytest.mark.parametrize("answer", [None, ANSWER, Answer()])
def test_an_entry_is_the_record_with_its_answer(record: ExchangeRecord, answer: Answer | None) -> None:
    whole = record if answer is None else replace(record, answer=answer)

    found = entry(encode(record), answer)

    assert (found.data, columns(found.listed)) == (encode(whole), columns(whole))


def test_the_entry_of_a_record_that_another_hand_wrote_has_its_answer() -> None:
    fields = dict(reversed(msgspec.msgpack.decode(encode(SPOOLED)).items()))

    assert decode(entry(msgspec.msgpack.encode(fields), ANSWER).data) == replace(SPOOLED, answer=ANSWER)


def test_there_is_no_entry_for_a_record_of_a_newer_version() -> None:
    with pytest.raises(UnknownSchema):
        entry(msgspec.msgpack.encode({"id": "x", "schema": SCHEMA + 1}), ANSWER)


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
