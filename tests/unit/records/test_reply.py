import logging

import pytest

from gateway.ports import Answer
from gateway.records.reply import answer_in
from gateway.wire.chat.answer import read_answer


def test_a_reply_is_read() -> None:
    body = b'{"choices": [{"index": 0, "text": "Yes."}], "usage": {"prompt_tokens": 0, "completion_tokens": 3}}'

    assert answer_in(read_answer, body, "application/json", "") == Answer("Yes.", "", 0, 3)


def test_a_reply_without_bytes_says_nothing() -> None:
    assert answer_in(read_answer, b"", "application/json", "") == Answer()


@pytest.mark.parametrize("tokens", [b"-7", b"2147483648", b"99999999999999999999999"])
def test_a_usage_that_no_database_could_store_counts_as_not_told(tokens: bytes) -> None:
    body = b'{"usage": {"prompt_tokens": %s, "completion_tokens": 2147483647}}' % tokens

    assert answer_in(read_answer, body, "application/json", "") == Answer("", "", -1, 2147483647)


def test_a_reply_that_the_reader_trips_over_says_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_body: bytes, _type: str, _encoding: str) -> Answer:
        raise RuntimeError("no reader for this")

    assert answer_in(broken, b"{}", "application/json", "") == Answer()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
