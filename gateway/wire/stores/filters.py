"""Decodes OpenAI's attribute filters: comparisons that are combined with `and` and `or`."""

from typing import Any, get_args

import msgspec

from gateway.errors import BadRequest
from gateway.filters import AttributeComparison, Compound, Filter
from gateway.wire.json_fields import explained

DEEPEST = 8
MOST = 100

COMPARISONS: tuple[str, ...] = get_args(AttributeComparison.__annotations__["type"])


def filter_of(given: Any, param: str = "filters") -> Filter | None:
    """Decode a filter. Raises `BadRequest`, which names the invalid field."""
    return None if given is None else _filter(given, param, DEEPEST)


def _filter(given: Any, param: str, depth: int) -> Filter:
    if not isinstance(given, dict):
        raise BadRequest(f"Invalid '{param}': a filter is an object with a 'type'.", param=param)
    kind = given.get("type")
    if kind in ("and", "or"):
        inner = given.get("filters")
        if depth == 0 or not isinstance(inner, list) or not 1 <= len(inner) <= MOST:
            raise BadRequest(
                f"Invalid '{param}': give 1 to {MOST} filters, nested at most {DEEPEST} deep.", param=param
            )
        parts = tuple(_filter(part, f"{param}.filters[{place}]", depth - 1) for place, part in enumerate(inner))
        return Compound(kind, parts)
    if kind not in COMPARISONS:
        known = ", ".join((*COMPARISONS, "and", "or"))
        raise BadRequest(f"Invalid '{param}.type': {kind!r}. Supported: {known}.", param=f"{param}.type")
    try:
        made = msgspec.convert(given, AttributeComparison)
    except msgspec.ValidationError as error:
        raise explained(error, param) from None
    if isinstance(made.value, tuple) and kind not in ("in", "nin"):
        raise BadRequest(f"Invalid '{param}.value': {kind!r} takes one value, not several.", param=f"{param}.value")
    return made
