"""Notes the fields of a translated request that neither API defines. They pass on, and many are misspelt."""

import difflib
from collections.abc import Collection, Iterable

from gateway.wire.messages.losses import Losses

MOST_NOTED, LONGEST_NAME = 8, 40


def note_unknown(passed: Iterable[str], known: Collection[str], losses: Losses) -> None:
    """Note each of the `passed` fields that is not `known`, with the known field whose name is nearest."""
    unknown = [name for name in passed if name not in known]
    for name in unknown[:MOST_NOTED]:
        close = difflib.get_close_matches(name[:LONGEST_NAME], known, 1, cutoff=0.75)
        hint = f"; did you mean {close[0]}?" if close else ""
        losses.add(name[:LONGEST_NAME], f"no known field, passed on as it is{hint}")
    if len(unknown) > MOST_NOTED:
        losses.add(f"{len(unknown) - MOST_NOTED} more unknown fields", "passed on as they are")
