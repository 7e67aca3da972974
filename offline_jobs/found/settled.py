"""What a number of answers settles. One rule serves all claims of a contract.

A claim says that something never happens: another label, a missing key, a value of another type. If 5 % of the answers
did it, 60 answers in a row without it would have a probability of 0.95 ** 60 = 4.6 %. So a set of alternatives counts
as complete if the last 60 answers have brought nothing new.
"""

from collections.abc import Hashable, Sequence
from typing import TypeVar

from gateway.records.scores import wilson

SETTLED = 60
"""The number of answers in a row without an exception that settle a claim."""
FORMED = 0.9
"""An application's answers have a form if the share of answers in this form is surely at least this large. A model
breaks a form now and then, and the application has to live with that."""
MOST = 100
"""A set with more alternatives is not closed."""
OFTEN = 4
"""A closed set has at least this many answers for each alternative on average."""

T = TypeVar("T", bound=Hashable)


def is_settled(flags: Sequence[bool]) -> bool:
    """Return whether something surely holds for nearly all answers. `flags` says for which answers it holds."""
    return all(flags) and len(flags) >= SETTLED


def is_formed(flags: Sequence[bool]) -> bool:
    """Return whether the share of answers with a form is surely at least `FORMED`."""
    return len(flags) >= SETTLED and wilson(sum(flags), len(flags))[0] >= FORMED


def alternatives(values: Sequence[T]) -> tuple[T, ...]:
    """Return the distinct values in their order if the set is complete, or () if more may come. `values` are in the
    order of time.
    """
    firsts: dict[T, int] = {}
    for place, value in enumerate(values):
        firsts.setdefault(value, place)
    if not firsts or len(firsts) > MOST or len(values) < OFTEN * len(firsts):
        return ()
    quiet = len(values) - 1 - max(firsts.values())
    return tuple(firsts) if quiet >= SETTLED - 1 else ()
