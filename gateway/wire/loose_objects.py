"""Reads the objects in loosely parsed JSON, where a value may have any type."""

from typing import Any


def object_of(value: Any) -> dict[str, Any]:
    """Return the value if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list, and no objects for any other value."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
