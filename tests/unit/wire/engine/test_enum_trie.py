"""A long enumeration becomes a pattern that matches its values and nothing else."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.engine.enum_trie import FEWEST, pattern_of, with_tries

WORDS = [f"value {number}" for number in range(20)]
TEXTS = st.text(st.sampled_from("ab.$(-"), min_size=1, max_size=6)


@given(st.lists(TEXTS, min_size=1, max_size=12, unique=True), TEXTS)
def test_the_pattern_matches_exactly_the_values(values: list[str], other: str) -> None:
    pattern = pattern_of(values)
    assert all(re.fullmatch(pattern, value) for value in values)
    assert bool(re.fullmatch(pattern, other)) == (other in values)


def test_a_long_text_needs_no_deep_recursion() -> None:
    assert re.fullmatch(pattern_of(["x" * 30_000, "x" * 29_999]), "x" * 30_000)


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": WORDS},
        {"type": "string", "enum": WORDS, "description": "one of them"},
        {"anyOf": [{"const": word} for word in WORDS]},
        {"oneOf": [{"const": word, "title": word.upper()} for word in WORDS]},
    ],
)
def test_enumerations_in_all_their_forms_are_rewritten_wherever_they_are(schema: dict[str, Any]) -> None:
    whole = {"type": "object", "properties": {"a": schema}}
    inner = with_tries(whole)["properties"]["a"]
    assert (inner["type"], inner["pattern"]) == ("string", pattern_of(WORDS))
    assert "enum" not in inner
    assert "anyOf" not in inner
    assert inner.get("description") == schema.get("description")


@pytest.mark.parametrize("other", [7, None, 'a "quoted" one', "日本", "", {"a": 1}])
def test_other_values_stay_beside_the_pattern(other: Any) -> None:
    assert with_tries({"type": ["string", "null"], "title": "t", "enum": [*WORDS, other]}) == {
        "title": "t",
        "anyOf": [{"type": "string", "pattern": pattern_of(WORDS)}, {"enum": [other]}],
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": WORDS[: FEWEST - 1]},
        {"enum": WORDS, "maxLength": 7},
        {"anyOf": [*({"const": word} for word in WORDS), {"type": "integer"}]},
        {"enum": list(range(20))},
        {"const": {"enum": WORDS}},
        {"properties": {"enum": {"type": "string"}}},
    ],
)
def test_all_other_schemas_stay(schema: dict[str, Any]) -> None:
    assert with_tries(schema) == schema
