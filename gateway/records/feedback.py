"""What someone says about an exchange afterwards, and who may see an exchange at all."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from gateway.errors import BadRequest
from gateway.exchange import Key
from gateway.records.schema import ExchangeRecord


class Feedback(Struct, frozen=True):
    """An opinion on one exchange. There may be several; none replaces another."""

    exchange: str
    score: float | None = None
    """From 0 (useless) to 1 (right); a thumb is 0 or 1. None: not scored."""
    label: str = ""
    """The right class or a tag, as the application likes."""
    comment: str = ""
    answer: str = ""
    """What the answer should have been."""
    key: str = ""
    time_s: float = 0.0


class _Given(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/foreword/feedback`."""

    exchange: Annotated[str, Meta(min_length=1, max_length=200)]
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    label: Annotated[str, Meta(max_length=200)] = ""
    comment: Annotated[str, Meta(max_length=20_000)] = ""
    answer: Annotated[str, Meta(max_length=200_000)] = ""


_given = msgspec.json.Decoder(_Given)


def read_feedback(body: bytes) -> Feedback:
    """Decode a request's body. Raises `BadRequest` that says which field is wrong and how."""
    try:
        given = _given.decode(body)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        param = place.rstrip("`") or None
        raise BadRequest(f"Wrong feedback: {what}.", param=param) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}.") from error
    feedback = Feedback(given.exchange, given.score, given.label, given.comment, given.answer)
    if feedback == Feedback(given.exchange):
        raise BadRequest("Feedback needs at least one of score (0 to 1), label, comment and answer.", param="score")
    return feedback


def signed(feedback: Feedback, key: Key, now_s: float) -> Feedback:
    return replace(feedback, key=key.name, time_s=now_s)


def visible(record: ExchangeRecord, key: Key) -> bool:
    """A key sees its own exchanges; an admin key sees all."""
    return key.admin or record.key == key.name
