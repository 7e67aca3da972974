import msgspec
import pytest

from gateway.errors import BadRequest
from gateway.exchange import Key
from gateway.records.feedback import Feedback, read_feedback, visible
from gateway.records.schema import ExchangeRecord


def test_feedback_is_read_whole() -> None:
    body = msgspec.json.encode(
        {"exchange": "ex-1", "score": 1, "label": "card_arrival", "comment": "good", "answer": "Yes."}
    )

    assert read_feedback(body) == Feedback("ex-1", 1.0, "card_arrival", "good", "Yes.")


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (b'{"exchange": "ex-1", "score": 1.5}', "score", "<= 1"),
        (b'{"exchange": "ex-1", "score": -0.1}', "score", ">= 0"),
        (b'{"exchange": "ex-1", "score": "good"}', "score", "Expected `float | null`"),
        (b'{"exchange": "", "score": 1}', "exchange", "length >= 1"),
        (b'{"score": 1}', None, "`exchange`"),
        (b'{"exchange": "ex-1", "rating": 5}', None, "`rating`"),
        (b'{"exchange": "ex-1"}', "score", "at least one of score"),
        (b'{"exchange": "ex-1", ', None, "not valid JSON"),
        (b'"ex-1"', None, "Expected `object`"),
        (b"\xff", None, "not valid JSON"),
    ],
)
def test_wrong_feedback_is_refused_with_the_place_and_the_reason(body: bytes, param: str | None, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_feedback(body)

    assert says in refused.value.message
    assert refused.value.param == param


@pytest.mark.parametrize(("key", "sees"), [(Key("app"), True), (Key("other"), False), (Key("other", admin=True), True)])
def test_a_key_sees_its_own_exchanges_and_an_admin_all(key: Key, sees: bool) -> None:
    assert visible(ExchangeRecord("ex-1", key="app"), key) is sees
