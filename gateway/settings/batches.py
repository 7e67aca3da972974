"""The table `[batches]`: batches that the gateway itself executes."""

from msgspec import Struct

from gateway.settings.numbers import Amount, Count


class Batches(Struct, frozen=True, forbid_unknown_fields=True):
    """`[batches]`: the limits of batches that the gateway itself executes."""

    parallel: Count = 2
    """The most lines of one batch that a worker executes at the same time."""
    busy_above: Amount = 0
    """While a worker answers more live requests than this, it begins a line only every five seconds."""
    max_lines: Count = 50_000
    """The most lines of a batch."""
    max_waiting: Count = 20
    """The most unfinished batches of one key."""
