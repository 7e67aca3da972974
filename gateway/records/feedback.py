"""Feedback on an exchange, and the check whether a key may see an exchange."""

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.records.schema import ExchangeRecord


class Feedback(Struct, frozen=True):
    """One piece of feedback on an exchange. An exchange may have several, and all are kept."""

    exchange: str
    score: float | None = None
    """The score from 0 (useless) to 1 (right), or None. A thumbs-down is 0, and a thumbs-up is 1."""
    label: str = ""
    """The right class, or any other tag that the application chooses."""
    comment: str = ""
    answer: str = ""
    """The right answer."""
    key: str = ""
    time_s: float = 0.0


def signed(feedback: Feedback, key: ClientKey, now_s: float) -> Feedback:
    return replace(feedback, key=key.name, time_s=now_s)


def visible(record: ExchangeRecord, key: ClientKey) -> bool:
    """Return whether a key may see an exchange. A key may see its own exchanges, and a key with `admin` may see all."""
    return key.admin or record.key == key.name
