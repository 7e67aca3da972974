"""Keeps one value for each of the targets that were used most recently."""

from collections import OrderedDict
from typing import Generic, TypeVar

from gateway.exchange import Target

Value = TypeVar("Value")
MOST_TARGETS = 10_000
LONGEST_MODEL = 256
"""A value for a longer model name is not kept."""


class ByTarget(Generic[Value]):
    """The values by backend and model. A backend that offers `*` has every model that a client names, so the number of
    values is limited.
    """

    def __init__(self) -> None:
        self._values: OrderedDict[tuple[str, str], Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, target: Target) -> Value | None:
        return self._values.get((target.backend, target.model))

    def put(self, target: Target, value: Value) -> None:
        if len(target.model) > LONGEST_MODEL:
            return
        key = target.backend, target.model
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > MOST_TARGETS:
            self._values.popitem(last=False)

    def drop(self, target: Target) -> None:
        self._values.pop((target.backend, target.model), None)
