"""The body of `POST /v1/foreword/feedback`."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gateway.errors import BadRequest
from gateway.wire.json_fields import decoded


class FeedbackBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Feedback on one exchange. The client must send at least one of the last four fields."""

    exchange: Annotated[str, Meta(min_length=1, max_length=200)]
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    label: Annotated[str, Meta(max_length=200)] = ""
    comment: Annotated[str, Meta(max_length=20_000)] = ""
    answer: Annotated[str, Meta(max_length=200_000)] = ""


_decoder = msgspec.json.Decoder(FeedbackBody)


def feedback(raw: bytes) -> FeedbackBody:
    """Decode the body. Raises `BadRequest` with the invalid field and the mistake."""
    try:
        given: FeedbackBody = decoded(_decoder, raw)
    except BadRequest as error:
        if error.param != "score":
            raise
        what = "Invalid value for 'score': give a number from 0 (useless) to 1 (perfect)."
        raise BadRequest(what, param="score", code="invalid_value") from None
    if given == FeedbackBody(given.exchange):
        raise BadRequest("Feedback needs at least one of score (0 to 1), label, comment and answer.", param="score")
    return given
