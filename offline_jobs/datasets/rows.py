"""A row of a dataset: one prompt with its answers, scores and origin."""

from enum import StrEnum

from msgspec import Struct


class What(StrEnum):
    """The kind of a row."""

    FAILURE = "failure"  # the answer was wrong by feedback, a check or a judge
    SUCCESS = "success"  # the answer was right by one of them, and wrong by none
    UNFITTED = "unfitted"  # no template fitted the prompt
    UNSCORED = "unscored"  # a template was used, and the answer has no score
    GIVEN = "given"  # the row comes from a file, not from an exchange


class DatasetRow(Struct, frozen=True):
    """One row. `query` is the user's prompt, and `wanted` is the right answer, or "" if that is unknown."""

    query: str
    what: What = What.GIVEN
    wanted: str = ""
    answer: str = ""
    label: str = ""
    score: float = -1.0
    """The score from 0 to 1, or -1 if there is none."""
    why: tuple[str, ...] = ()
    """The sources of the score, such as `feedback`, `checks: ...` or `judge`."""
    intent: str = ""
    template: str = ""
    version: int = 0
    model: str = ""
    language: str = ""
    exchange: str = ""
    time_s: float = 0.0
