"""Measures deployments while they answer: the number of running requests, and the usual time to the first byte."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from gateway.backends.by_target import ByTarget
from gateway.exchange import Target

WEIGHT = 0.2
"""The weight of the latest measurement in the running mean. With this weight, the last ten measurements together make
up 90 % of the mean.
"""


@runtime_checkable
class Occupied(Protocol):
    """A backend that knows how many requests it is answering."""

    @property
    def running(self) -> int: ...


class LiveFigures:
    """The figures that one worker has measured. Workers do not exchange these figures, since deployments serve all
    workers alike.
    """

    def __init__(self, backends: Mapping[str, object]) -> None:
        self._backends = {name: backend for name, backend in backends.items() if isinstance(backend, Occupied)}
        self._first_byte_s = ByTarget[float]()

    def answered(self, target: Target, took_s: float) -> None:
        """Add a measurement: the time until the reply began."""
        before = self._first_byte_s.get(target)
        self._first_byte_s.put(target, took_s if before is None else before + WEIGHT * (took_s - before))

    def failed(self, target: Target, took_s: float) -> None:
        """Add a measurement for a failure: the time until the failure, but at least one second. Otherwise a server that
        refuses quickly would seem fast.
        """
        self.answered(target, max(1.0, took_s))

    def running(self, target: Target) -> int:
        backend = self._backends.get(target.backend)
        return backend.running if backend is not None else 0

    def first_byte_s(self, target: Target) -> float | None:
        return self._first_byte_s.get(target)
