"""A row of a dataset: one prompt with its answers, scores and origin."""

from enum import StrEnum

from msgspec import Struct


class What(StrEnum):
    """The kind of a row."""

    FAILURE = "failure"  # the answer was wrong by feedback, a check or a judge
    SUCCESS = "success"  # the answer was right by one of them, and wrong by none
    UNFITTED = "unfitted"  # no template was for it
    UNSCORED = "unscored"  # a template was used, and the answer has no score
    GIVEN = "given"  # from a file, not from an exchange


class DatasetRow(Struct, frozen=True):
    """`query` is the user's prompt, `wanted` the right answer ("" if unknown)."""

    query: str
    what: What = What.GIVEN
    wanted: str = ""
    answer: str = ""
    label: str = ""
    score: float = -1.0
    """From 0 to 1; -1: not scored."""
    why: tuple[str, ...] = ()
    """The sources of the score: `feedback`, `checks: ...`, `judge`."""
    intent: str = ""
    template: str = ""
    version: int = 0
    model: str = ""
    language: str = ""
    exchange: str = ""
    time_s: float = 0.0
