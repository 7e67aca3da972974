"""A row of a dataset: one prompt with its answers, scores and origin."""

from enum import StrEnum

from msgspec import Struct


class What(StrEnum):
    FAILURE = "failure"  # feedback, a check or a judge found the answer wrong
    SUCCESS = "success"  # feedback, a check or a judge found the answer right, and none found it wrong
    UNFITTED = "unfitted"  # no template fitted the prompt
    UNSCORED = "unscored"  # a template was used, and the answer has no score
    GIVEN = "given"  # the row comes from a file, not from an exchange


class DatasetRow(Struct, frozen=True):
    """One row. `query` is the user's prompt. `wanted` is the right answer, or "" if unknown."""

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
    parts: tuple[str, ...] = ()
    """The values of the parts, if a found prompt built the request."""
    request: str = ""
    """The whole request as JSON, if a found prompt built it: history, tools, format and sampling included."""
