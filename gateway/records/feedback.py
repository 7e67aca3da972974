"""Feedback on an exchange, and the keys that may see an exchange."""

from msgspec import Struct
from msgspec.structs import replace

from gateway.exchange import ClientKey
from gateway.records.schema import ExchangeRecord


class Feedback(Struct, frozen=True):
    """Feedback on one exchange. There may be several on one exchange; all are kept."""

    exchange: str
    score: float | None = None
    """From 0 (useless) to 1 (right); a thumb is 0 or 1. None: not scored."""
    label: str = ""
    """The right class or a tag, as the application likes."""
    comment: str = ""
    answer: str = ""
    """The right answer."""
    key: str = ""
    time_s: float = 0.0


def signed(feedback: Feedback, key: ClientKey, now_s: float) -> Feedback:
    return replace(feedback, key=key.name, time_s=now_s)


def visible(record: ExchangeRecord, key: ClientKey) -> bool:
    """A key sees its own exchanges; an admin key sees all."""
    return key.admin or record.key == key.name
