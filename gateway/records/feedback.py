"""Feedback on an exchange, and which keys may see an exchange."""

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.records.schema import ExchangeRecord


class Feedback(Struct, frozen=True):
    """Feedback on one exchange. All entries of an exchange are kept."""

    exchange: str
    score: float | None = None
    """From 0 (useless) to 1 (right), or None. A thumb down is 0, a thumb up is 1."""
    label: str = ""
    """The right class, or any other tag of the application."""
    comment: str = ""
    answer: str = ""
    """The right answer."""
    key: str = ""
    time_s: float = 0.0


def signed(feedback: Feedback, key: ClientKey, now_s: float) -> Feedback:
    return replace(feedback, key=key.name, time_s=now_s)


def visible(record: ExchangeRecord, key: ClientKey) -> bool:
    """Return whether a key may see an exchange: its own, or any with `admin`."""
    return key.admin or record.key == key.name
