"""Learns a JSON schema from values. What the values do not settle is left open."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.prompt.found.contract import JsonSchema
from gateway.records.scrub import scrubbed
from offline_jobs.found.settled import SETTLED, alternatives, is_settled
from offline_jobs.found.text_form import pattern_of

DEEPEST = 8
MOST_KEYS = 60
"""An object with more keys than this is a table whose keys are data."""
RARE = 0.05
LONGEST_LABEL = 60


def schema_of(values: Sequence[Any], depth: int = 0) -> JsonSchema:
    """Return a schema that the values settle. `values` are in the order of time. {} claims nothing."""
    types = alternatives([_type(value) for value in values])
    if not types or depth > DEEPEST:
        return {}
    named = _widened(types)
    schema: JsonSchema = {"type": named[0] if len(named) == 1 else named}
    if "object" in types:
        schema |= _object([value for value in values if isinstance(value, dict)], depth)
    if "array" in types:
        schema |= _array([value for value in values if isinstance(value, list)], depth)
    if types == ("string",):
        schema |= _string(values)
    return schema


def _type(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _widened(types: Sequence[str]) -> list[str]:
    """Return the types in a fixed order. Where numbers with and without a fraction occur, `number` covers both."""
    names = set(types)
    return sorted(names - {"integer"} if "number" in names else names)


def _object(values: Sequence[Mapping[str, Any]], depth: int) -> JsonSchema:
    counts = Counter(name for value in values for name in value)
    if _is_table(counts, len(values)):
        inner = schema_of([each for value in values for each in value.values()], depth + 1)
        return {"additionalProperties": inner} if inner else {}
    required = sorted(name for name in counts if is_settled([name in value for value in values]))
    known = {
        name: schema_of([value[name] for value in values if name in value], depth + 1)
        for name, count in sorted(counts.items())
        if count >= SETTLED
    }
    schema: JsonSchema = {}
    if known:
        schema["properties"] = known
    if required:
        schema["required"] = required
    return schema


def _is_table(counts: Counter[str], n: int) -> bool:
    """Return whether the keys of an object are data, such as names, and not fields."""
    rare = sum(count <= max(1, RARE * n) for count in counts.values())
    return len(counts) > MOST_KEYS or (len(counts) > 2 * max(1, len(counts) - rare) and rare > SETTLED // 3)


def _array(values: Sequence[Sequence[Any]], depth: int) -> JsonSchema:
    schema: JsonSchema = {}
    items = schema_of([item for value in values for item in value], depth + 1)
    if items:
        schema["items"] = items
    if is_settled([bool(value) for value in values]):
        schema["minItems"] = 1
    return schema


def _string(values: Sequence[str]) -> JsonSchema:
    labels = alternatives(values)
    if len(labels) > 1 and all(label and len(label) <= LONGEST_LABEL and scrubbed(label) == label for label in labels):
        return {"enum": sorted(labels)}
    pattern = pattern_of(values)
    if pattern:
        return {"pattern": f"^(?:{pattern})$"}
    return {"minLength": 1} if is_settled([bool(value.strip()) for value in values]) else {}
