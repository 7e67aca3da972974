"""A row of a dataset: one prompt with what is known of it."""

from enum import StrEnum

from msgspec import Struct


class What(StrEnum):
    """What an exchange is to us."""

    FAILURE = "failure"  # somebody or something said that the answer was not right
    SUCCESS = "success"  # the same, that it was
    UNFITTED = "unfitted"  # no template was for it
    UNSCORED = "unscored"  # a template spoke, and nobody said how well
    GIVEN = "given"  # from a file, not from an exchange


class DatasetRow(Struct, frozen=True):
    """`query` is what the user asked, `wanted` what the answer should have been ("": nobody said)."""

    query: str
    what: What = What.GIVEN
    wanted: str = ""
    answer: str = ""
    label: str = ""
    score: float = -1.0
    """From 0 to 1; -1: not scored."""
    why: tuple[str, ...] = ()
    """Who found what: `feedback`, `checks: ...`, `judge`."""
    intent: str = ""
    template: str = ""
    version: int = 0
    model: str = ""
    language: str = ""
    exchange: str = ""
    time_s: float = 0.0
