"""Checks what a request wants of the answer's form, against what the engine's grammar can hold an answer to.

The engine itself drops what it does not know and answers all the same.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from gateway.errors import BadRequest

MOST_BYTES = 64 * 1024
MOST_CHOICES = 256
"""Alternatives in one schema (values of `enum`, branches, properties). Each is compared with the vocabulary at every
token: with 3,000 of them a token took a second, during which no other request was answered."""
MOST_DEPTH = 32
MOST_REPEATS = 1000
UNSUPPORTED = (
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "contains",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "multipleOf",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedProperties",
    "unevaluatedItems",
)
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
REPEATS = ("minItems", "maxItems", "minLength", "maxLength")
BRANCHES = ("anyOf", "oneOf", "allOf", "prefixItems")
NAMED = ("properties", "$defs", "definitions")
# what the grammar's own reader of patterns does not know: classes, boundaries, back references, groups with options
ODD_PATTERN = re.compile(r"\\[a-zA-Z0-9]|\(\?|[*+?}][?+]")


def check_format(raw: Raw) -> None:
    """Raises `BadRequest` for a `response_format` that the engine would not hold the answer to."""
    form = msgspec.json.decode(raw)
    if form is None:
        return
    kind = form.get("type") if isinstance(form, dict) else form
    if kind in ("text", "json_object"):
        _check_size(form)  # the engine takes a `schema` beside json_object, too
        return
    if kind != "json_schema" or not isinstance(form, dict):
        raise _refused(f"{kind!r} is no known type; known: text, json_object, json_schema.", "type")
    inner = form.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(schema, dict):
        raise _refused("a JSON object is needed there.", "json_schema.schema")
    if len(raw) > MOST_BYTES:
        raise _refused(f"the schema is larger than {MOST_BYTES // 1024} kB.", "json_schema.schema")
    _check_size(schema)
    if inner.get("strict"):
        odd = sorted(set(_unsupported(schema, "")))
        if odd:
            raise _refused(
                f"this model's engine cannot hold an answer to {', '.join(odd)}. Leave that out, or 'strict'.",
                "json_schema.schema",
            )


def check_choice(raw: Raw, tools: Raw | None) -> None:
    """Raises `BadRequest` for a `tool_choice` that requires a call, which this engine cannot enforce."""
    choice = msgspec.json.decode(raw)
    if choice is None or choice in ("auto", "none"):
        return
    name = _function(choice)
    names = _names(tools)
    if name is not None and name not in names:
        known = ", ".join(names) or "none"
        raise BadRequest(f"'tool_choice' names the function {name!r}; 'tools' has: {known}.", param="tool_choice")
    raise BadRequest(
        "This model's engine cannot make sure that a tool is called. Use 'tool_choice': 'auto', or a "
        "'response_format' of type json_schema.",
        param="tool_choice",
    )


def _function(choice: Any) -> str | None:
    function = choice.get("function") if isinstance(choice, dict) else None
    return str(function.get("name")) if isinstance(function, dict) else None


def _names(tools: Raw | None) -> list[str]:
    listed = msgspec.json.decode(tools) if tools is not None else None
    return [name for tool in listed or () if (name := _function(tool)) is not None]


def _check_size(schema: Any) -> None:
    choices = sum(_choices(part) for part in _parts(schema, 0))
    if choices > MOST_CHOICES:
        what = f"the schema holds {choices} values, branches and properties; this engine takes {MOST_CHOICES}."
        raise _refused(what, "json_schema.schema")


def _choices(part: dict[str, Any]) -> int:
    for name in REPEATS:
        bound = part.get(name)
        if isinstance(bound, int) and bound > MOST_REPEATS:
            raise _refused(f"{name} is {bound}; this engine takes up to {MOST_REPEATS}.", "json_schema.schema")
    listed = [part.get(name) for name in ("enum", *BRANCHES, *NAMED)]
    return sum(len(entries) for entries in listed if isinstance(entries, Sequence | dict))


def _parts(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """All objects within a schema."""
    if depth > MOST_DEPTH:
        raise _refused(f"the schema is nested deeper than {MOST_DEPTH}.", "json_schema.schema")
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner, depth + 1)


def _unsupported(schema: Any, path: str) -> Iterator[str]:
    """The places in a schema that the grammar leaves out, such as `properties.day.pattern`."""
    if not isinstance(schema, dict):
        return
    yield from (path + name for name in UNSUPPORTED if name in schema)
    if schema.get("type") != "integer":
        yield from (path + name for name in BOUNDS if name in schema)
    if "pattern" in schema and not _known_pattern(schema["pattern"]):
        yield f"{path}pattern"
    reference = schema.get("$ref")
    if reference is not None and not str(reference).startswith("#"):
        yield f"{path}$ref"
    for name in NAMED:
        for key, inner in _entries(schema.get(name)):
            yield from _unsupported(inner, f"{path}{name}.{key}.")
    for name in BRANCHES:
        for number, inner in enumerate(schema.get(name) or ()):
            yield from _unsupported(inner, f"{path}{name}.{number}.")
    for name in ("items", "additionalProperties"):
        yield from _unsupported(schema.get(name), f"{path}{name}.")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()


def _known_pattern(pattern: Any) -> bool:
    return (
        isinstance(pattern, str)
        and pattern.startswith("^")
        and pattern.endswith("$")
        and ODD_PATTERN.search(pattern) is None
    )


def _refused(what: str, where: str) -> BadRequest:
    return BadRequest(f"Invalid 'response_format': {what}", param=f"response_format.{where}")
