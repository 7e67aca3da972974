"""Feedback on an exchange, and the keys that may see an exchange."""

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.records.schema import ExchangeRecord


class Feedback(Struct, frozen=True):
    """Feedback on one exchange. An exchange may have several; all are kept."""

    exchange: str
    score: float | None = None
    """From 0 (useless) to 1 (right). A thumb is 0 or 1. None: no score."""
    label: str = ""
    """The right class, or any tag of the application."""
    comment: str = ""
    answer: str = ""
    """The right answer."""
    key: str = ""
    time_s: float = 0.0


def signed(feedback: Feedback, key: ClientKey, now_s: float) -> Feedback:
    return replace(feedback, key=key.name, time_s=now_s)


def visible(record: ExchangeRecord, key: ClientKey) -> bool:
    """Whether a key may see an exchange: its own, or any if it is an admin key."""
    return key.admin or record.key == key.name
