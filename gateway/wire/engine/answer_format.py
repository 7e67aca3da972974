"""Checks that the engine's grammar supports the answer format that a request demands.

The engine itself silently ignores unsupported parts of a schema.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from gateway.errors import BadRequest
from gateway.wire.engine.enum_trie import FEWEST, enumerated, plain_texts
from gateway.wire.engine.forced_call import allowed_functions, is_open

MOST_BYTES = 64 * 1024
MOST_CHOICES = 256
"""The maximum number of alternatives in one schema: values of `enum`, branches, properties and bounded integers.

For every token, the engine compares each alternative with the vocabulary, on the thread that serves all requests.
`benchmarks/grammar.py` measures the cost.
"""
VALUE = 2
"""An enumeration value that is not plain text counts as this many alternatives."""
TEXTS_PER_CHOICE = 16
"""In a long enumeration, this many plain texts together count as one alternative, because `enum_trie` merges the texts
into one pattern."""
MOST_DEPTH = 32
MOST_REPEATS = 1000
MOST_REPEATS_TOGETHER = 50_000
"""The maximum number of repetitions in one schema.

The engine expands all repetitions before it reads the prompt, on the thread that serves all requests. 1,000 repetitions
take 4 ms.
"""
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
FORMAT = "response_format.json_schema.schema"
# pattern syntax that the grammar does not support: classes, boundaries, back references, groups with options
ODD_PATTERN = re.compile(r"\\[a-zA-Z0-9]|\(\?|[*+?}][?+]")


def check_format(raw: Raw) -> tuple[str, ...]:
    """Check a `response_format`. Returns the parts of a non-strict schema that the engine cannot enforce.

    Raises `BadRequest` if the format's type is unknown, if the schema is too large, or if the schema is strict and has
    unsupported parts.
    """
    form = msgspec.json.decode(raw)
    if form is None:
        return ()
    kind = form.get("type") if isinstance(form, dict) else form
    if kind in ("text", "json_object"):
        # the engine also accepts a `schema` with the type json_object
        schema = form.get("schema") if isinstance(form, dict) else None
        return check_schema(schema, FORMAT)
    if kind != "json_schema" or not isinstance(form, dict):
        raise _refused(f"{kind!r} is not a known type; known: text, json_object, json_schema.", "response_format.type")
    inner = form.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(schema, dict):
        raise _refused("a JSON object is required.", FORMAT)
    return check_schema(schema, FORMAT, strict=bool(inner.get("strict")))


def check_schema(schema: Any, where: str, *, strict: bool = False) -> tuple[str, ...]:
    """Check a schema. Returns the paths of the parts that the grammar does not support.

    Raises `BadRequest` if the schema is too large, or if it is strict and has unsupported parts.
    """
    if len(msgspec.json.encode(schema)) > MOST_BYTES:
        raise _refused(f"the schema is larger than {MOST_BYTES // 1024} kB.", where)
    _check_size(schema, where)
    odd = tuple(sorted(set(_unsupported(schema, ""))))
    if odd and strict:
        what = f"this model's engine cannot enforce {', '.join(odd)}. Leave it out, or leave out 'strict'."
        raise _refused(what, where)
    return odd


def check_choice(choice: Any, tools: Any) -> None:
    """Check a `tool_choice` for an engine without grammars. Raises `BadRequest` if the choice requires a call."""
    if is_open(choice):
        return
    allowed_functions(choice, tools)  # first, because the error about an unknown tool is more useful
    raise BadRequest(
        "This model's engine cannot force a tool call. Use 'tool_choice': 'auto', or a "
        "'response_format' of type json_schema.",
        param="tool_choice",
    )


def _check_size(schema: Any, where: str) -> None:
    choices = sum(_choices(part) for part in _parts(schema, where))
    if choices > MOST_CHOICES:
        what = f"the schema has {choices} values, branches and properties; this engine takes at most {MOST_CHOICES}."
        raise _refused(what, where)
    repeats = sum(_repeats(part, where) for part in _parts(schema, where))
    if repeats > MOST_REPEATS_TOGETHER:
        what = f"the lengths in the schema add up to {repeats}; this engine takes at most {MOST_REPEATS_TOGETHER}."
        raise _refused(what, where)


def _repeats(part: dict[str, Any], where: str) -> int:
    bounds = {name: part[name] for name in REPEATS if isinstance(part.get(name), int)}
    name = next((name for name, bound in bounds.items() if bound > MOST_REPEATS), "")
    if name:
        raise _refused(f"{name} is {bounds[name]}; this engine takes at most {MOST_REPEATS}.", where)
    return max(bounds.values(), default=0)


def _choices(part: dict[str, Any]) -> int:
    values = enumerated(part)
    if values:
        texts = plain_texts(values)
        rest = len(values) - len(texts)
        return rest * VALUE + (len(texts) if len(texts) < FEWEST else 1 + len(texts) // TEXTS_PER_CHOICE)
    listed = [part.get(name) for name in ("enum", *BRANCHES, *NAMED)]
    bounded = any(name in part for name in BOUNDS)
    return sum(len(entries) for entries in listed if isinstance(entries, Sequence | dict)) + bounded


def _parts(value: Any, where: str, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield all JSON objects in a schema, at any depth."""
    if depth > MOST_DEPTH:
        raise _refused(f"the schema is nested deeper than {MOST_DEPTH}.", where)
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts(inner, where, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner, where, depth + 1)


def _unsupported(schema: Any, path: str) -> Iterator[str]:
    """Yield the paths of the parts of a schema that the grammar does not support, such as `properties.day.pattern`."""
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
    return BadRequest(f"Invalid '{where.partition('.')[0]}': {what}", param=where)
