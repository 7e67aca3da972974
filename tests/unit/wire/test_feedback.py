import json

import msgspec
import pytest

from gateway.errors import BadRequest
from gateway.wire.feedback import FeedbackBody, feedback


def test_feedback_is_read_whole() -> None:
    body = msgspec.json.encode(
        {"exchange": "ex-1", "score": 1, "label": "card_arrival", "comment": "good", "answer": "Yes."}
    )

    assert feedback(body) == FeedbackBody("ex-1", 1.0, "card_arrival", "good", "Yes.")


@pytest.mark.parametrize(
    ("body", "param", "code", "says"),
    [
        (b'{"exchange": "ex-1", "score": 1.5}', "score", "invalid_value", "from 0 (useless) to 1"),
        (b'{"exchange": "ex-1", "score": -0.1}', "score", "invalid_value", "from 0 (useless) to 1"),
        (b'{"exchange": "ex-1", "score": "good"}', "score", "invalid_value", "from 0 (useless) to 1"),
        (b'{"exchange": "", "score": 1}', "exchange", "invalid_value", "length >= 1"),
        (b'{"score": 1}', "exchange", "missing_required_parameter", "'exchange'"),
        (b'{"exchange": "ex-1", "rating": 5}', "rating", "unknown_parameter", "'rating'"),
        (b'{"exchange": "ex-1"}', "score", None, "at least one of score"),
        (b'{"exchange": "ex-1", ', None, "invalid_json", "could not parse"),
        (b'"ex-1"', None, "invalid_value", "Expected `object`"),
        (b"\xff", None, "invalid_json", "could not parse"),
    ],
)
def test_wrong_feedback_is_refused_with_the_place_and_the_reason(
    body: bytes, param: str | None, code: str | None, says: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        feedback(body)

    assert says in refused.value.message
    assert (refused.value.param, refused.value.code) == (param, code)


@pytest.mark.parametrize("score", [1.5, -1, "good"])
def test_a_score_out_of_range_is_refused_with_the_range(score: object) -> None:
    with pytest.raises(BadRequest, match=r"'score': give a number from 0 .* to 1 "):
        feedback(json.dumps({"exchange": "fw-1", "score": score}).encode())
