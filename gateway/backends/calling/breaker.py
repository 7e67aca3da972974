"""Skips deployments that keep failing, and tests them with single requests until they answer again."""

import logging
from collections.abc import Callable
from time import monotonic

from msgspec import Struct

from gateway.backends.by_target import ByTarget
from gateway.exchange import Target
from gateway.ports import HotState

log = logging.getLogger("foreword.call")
LONGEST_REST_S = 120.0
MOST_DOUBLINGS = 30
PROBE_S = 60.0
"""A test that has not ended after this time is abandoned, and another request may test the deployment."""


class _Circuit(Struct):
    failures: int = 0
    rests: int = 0
    """The number of rests since the deployment last answered. Each rest is twice as long as the rest before, up to a
    limit.
    """
    probed_at: float = 0.0


class Breaker:
    """The circuits of all deployments. All workers learn from the hot state how long each deployment rests.

    A circuit is open while its deployment rests, that is, while the deployment gets no requests. After that the circuit
    is half open: one request at a time tests the deployment, and other requests still skip the deployment, until a test
    succeeds.
    """

    def __init__(
        self,
        state: HotState,
        *,
        trip_after: int = 5,
        rest_s: float = 10.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._state = state
        self._trip_after = trip_after
        self._rest_s = rest_s
        self._clock = clock
        self._circuits = ByTarget[_Circuit]()

    async def skips(self, target: Target) -> bool:
        """Whether a request should skip this deployment.

        If the circuit is half open and the result is False, the request is the test. The caller must then report how
        the request ended, with `succeeded`, `failed` or `untested`.
        """
        try:
            if await self._state.blocked(_key(target)) > 0:
                return True
        except Exception:
            log.warning("the hot state is gone: every backend is tried")
            return False
        circuit = self._circuits.get(target)
        if circuit is None or not circuit.rests:
            return False
        now = self._clock()
        if circuit.probed_at and now - circuit.probed_at < PROBE_S:
            return True
        circuit.probed_at = now
        return False

    def succeeded(self, target: Target) -> None:
        """Close the circuit."""
        self._circuits.drop(target)

    def untested(self, target: Target) -> None:
        """End a test without a result, for example because the client has left."""
        circuit = self._circuits.get(target)
        if circuit is not None:
            circuit.probed_at = 0.0

    async def failed(self, target: Target) -> None:
        """Count a failure. The deployment rests after `trip_after` failures in a row, or after a failed test."""
        circuit = self._circuits.get(target) or _Circuit()
        self._circuits.put(target, circuit)
        circuit.failures += 1
        circuit.probed_at = 0.0
        if circuit.failures < self._trip_after:
            return
        rest_s = min(LONGEST_REST_S, self._rest_s * 2 ** min(circuit.rests, MOST_DOUBLINGS))
        circuit.rests += 1
        try:
            await self._state.block(_key(target), rest_s)
        except Exception:
            log.warning("the hot state is gone: a failing backend is not skipped")


def _key(target: Target) -> str:
    return f"backend:{target.backend}:{target.model}"
