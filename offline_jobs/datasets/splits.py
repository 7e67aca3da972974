"""Splits a dataset into rows to learn from, rows to choose by, and sealed rows, which the search never sees."""

from collections.abc import Sequence

from msgspec import Struct

from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.ledger import key_of
from offline_jobs.errors import JobFailed

CHOOSE, SEALED = 0.3, 0.4
FEWEST = 10
"""The smallest number of sealed rows with which a test is possible."""
TO_DECIDE = 0.4
"""The largest share of the calls that may be spent on the sealed rows."""
LOOKS = 6
"""The budget must be large enough for this many candidates. Each candidate answers all rows to choose by."""


class SplitSizes(Struct, frozen=True):
    """The number of rows to choose by, and the number of sealed rows to decide by."""

    choose: int
    sealed: int


class Splits(Struct, frozen=True):
    learn: tuple[DatasetRow, ...]
    choose: tuple[DatasetRow, ...]
    sealed: tuple[DatasetRow, ...]


def affordable(calls: int, each: int, choose: int, sealed: int) -> SplitSizes:
    """Return the largest sizes that `calls` allow, but at most `choose` and `sealed`. One answer to a row costs `each`
    calls.

    Raises `JobFailed` if `calls` is too small for a decision.
    """
    sealed = min(sealed, max(FEWEST, int(TO_DECIDE * calls) // (2 * each)))
    left = calls - 2 * each * sealed
    if left < LOOKS * each:
        least = each * (2 * FEWEST + LOOKS)
        raise JobFailed(f"{calls} calls are too few to decide anything; allow {least} or more")
    return SplitSizes(min(choose, left // (LOOKS * each)), sealed)


def split(rows: Sequence[DatasetRow], seed: int, most_choose: int, most_sealed: int) -> Splits:
    """Split the rows by a hash of the query. Most rows stay in their part when other rows are added.

    Raises `JobFailed` if there are too few rows.
    """
    distinct = {row.query: row for row in rows}
    order = sorted(distinct.values(), key=lambda row: key_of(seed, row.query))
    sealed = order[: min(most_sealed, int(len(order) * SEALED))]
    choose = order[len(sealed) :][: min(most_choose, int(len(order) * CHOOSE))]
    if len(sealed) < FEWEST:
        raise JobFailed(f"{len(order)} different rows are too few: at least {int(FEWEST / SEALED) + 1} are needed")
    return Splits(tuple(order[len(sealed) + len(choose) :]), tuple(choose), tuple(sealed))
