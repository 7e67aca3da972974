"""Whether a server may be trusted to answer each request once."""

from collections.abc import Callable
from time import monotonic

FIRST_S = 60.0
LONGEST_S = 3600.0


class Trust:
    """Lost for a minute if the server sends bytes that belong to no request, and for twice as long each time it does so
    again, up to an hour.

    A second answer that comes late cannot be told from the answer to the next request on the same connection. So the
    fewer connections such a server has for two requests, the fewer clients get an answer that is not theirs.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._next_s = FIRST_S
        self.lost_until = 0.0

    @property
    def lost(self) -> bool:
        return self.lost_until > 0 and self._clock() < self.lost_until

    def stray(self) -> None:
        """Note bytes that belong to no request."""
        if not self.lost:  # several connections may have such bytes at once
            self.lost_until = self._clock() + self._next_s
            self._next_s = min(2 * self._next_s, LONGEST_S)
