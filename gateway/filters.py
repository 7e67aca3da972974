"""Filters on the attributes of documents. A filter is either one comparison, or several filters joined by `and` or
`or`.
"""

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Literal

from msgspec import Struct

Value = str | int | float | bool

COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {"eq": eq, "ne": ne, "gt": gt, "gte": ge, "lt": lt, "lte": le}


class AttributeComparison(Struct, frozen=True):
    """Compares an attribute with one value, or, for `in` and `nin`, with several values."""

    key: str
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    value: Value | tuple[Value, ...]

    def holds(self, attributes: Mapping[str, Value]) -> bool:
        """Whether a document with these attributes matches. A document that lacks the attribute matches only the types
        `ne` and `nin`.
        """
        attribute = attributes.get(self.key)
        if self.type in ("in", "nin"):
            values = self.value if isinstance(self.value, tuple) else (self.value,)
            return any(_alike(attribute, value) and attribute == value for value in values) == (self.type == "in")
        if attribute is None or not _alike(attribute, self.value):
            return self.type == "ne"
        return COMPARE[self.type](attribute, self.value)


class Compound(Struct, frozen=True):
    """Combines filters. With `and`, all of them must match. With `or`, at least one must match."""

    type: Literal["and", "or"]
    filters: tuple["Filter", ...]

    def holds(self, attributes: Mapping[str, Value]) -> bool:
        held = (part.holds(attributes) for part in self.filters)
        return all(held) if self.type == "and" else any(held)


Filter = AttributeComparison | Compound


def _alike(first: Any, second: Any) -> bool:
    """Whether two values can be compared: two numbers, two texts or two booleans."""
    if isinstance(first, bool) or isinstance(second, bool):
        return isinstance(first, bool) and isinstance(second, bool)
    return isinstance(first, str) == isinstance(second, str)
