"""Rewrites long enumerations in a schema as patterns that merge common prefixes.

For every token, the engine compares each alternative with its whole vocabulary. 256 texts took 2 s per token as
alternatives and 0.14 s as one pattern (`benchmarks/grammar.py`). The gateway answers no other request during this time.
"""

import re
from collections.abc import Iterable
from typing import Any

FEWEST = 8
"""The minimum length of a rewritten enumeration. Shorter enumerations cost little."""
PLAIN = re.compile(r"[ !#-\[\]-~]+")
"""Matches a text without characters that JSON escapes. A pattern for such a text also matches the text's JSON, which
the model writes."""
_SPECIAL = frozenset("^$.[]()|{}*+?")
_END = ""
UNTOUCHED = ("const", "default", "examples", "enum")
"""Fields of a schema that hold values and no further schemas."""
LISTS = ("enum", "anyOf", "oneOf")
ANNOTATIONS = ("type", "title", "description", "default", "examples")
CONSTANT = frozenset({"const", "type", "title", "description"})

Trie = dict[str, Any]


def with_tries(schema: Any) -> Any:
    """Return the schema with each long enumeration of plain texts replaced by a pattern."""
    if isinstance(schema, list):
        return [with_tries(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    values = enumerated(schema)
    texts = plain_texts(values)
    if len(texts) < FEWEST:
        return {name: value if name in UNTOUCHED else with_tries(value) for name, value in schema.items()}
    rest = {name: value for name, value in schema.items() if name not in ("type", *LISTS)}
    others = [value for value in values if value not in texts]
    one_text = {"type": "string", "pattern": pattern_of(texts)}
    return {**rest, "anyOf": [one_text, {"enum": others}]} if others else {**rest, **one_text}


def enumerated(schema: dict[str, Any]) -> list[Any]:
    """Return the values of a schema that is only an enumeration. Returns [] for any other schema."""
    lists = [name for name in LISTS if name in schema]
    if len(lists) != 1 or not schema.keys() <= {*lists, *ANNOTATIONS} or not isinstance(schema[lists[0]], list):
        return []
    entries: list[Any] = schema[lists[0]]
    if lists != ["enum"]:
        is_constant = [isinstance(each, dict) and "const" in each and each.keys() <= CONSTANT for each in entries]
        return [each["const"] for each in entries] if all(is_constant) else []
    return entries


def plain_texts(values: list[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str) and PLAIN.fullmatch(value)]


def pattern_of(values: Iterable[str]) -> str:
    """Return a regular expression that matches these texts and no others."""
    root: Trie = {}
    for value in values:
        node = root
        for character in value:
            node = node.setdefault(character, {})
        node[_END] = {}
    return f"^{_expression(root)}$"


def _expression(node: Trie) -> str:
    run = ""
    while len(node) == 1 and _END not in node:  # merge characters without a branch
        ((character, node),) = node.items()
        run += _escaped(character)
    branches = [_escaped(character) + _expression(after) for character, after in node.items() if character != _END]
    if not branches:
        return run
    return f"{run}({'|'.join(branches)})" + ("?" if _END in node else "")


def _escaped(character: str) -> str:
    return f"\\{character}" if character in _SPECIAL else character
