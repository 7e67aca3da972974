"""What an answer must meet, and how a failure reads."""

import re
from typing import Any

import pytest

from gateway.prompt.answers.checks import failures
from gateway.prompt.templates.fields import Check

PERSON = {"type": "object", "required": ["name"], "properties": {"age": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("demand", "good", "bad"),
    [
        ({"json_schema": PERSON}, '{"name": "Ada", "age": 36}', '{"age": 36}'),
        ({"json_schema": PERSON}, '```json\n{"name": "Ada"}\n```', "name: Ada"),
        ({"regex": re.compile("^(yes|no)$", re.IGNORECASE)}, "Yes", "Yes, of course"),
        ({"min_words": 2}, "two words", "one"),
        ({"max_words": 2}, "two words", "now three words"),
        ({"max_chars": 3}, "abc", "abcd"),
        ({"language": "zh"}, "今天天气很好，我们去公园吧。", "The weather is fine today, let us go out."),
        ({"contains": "Berlin"}, "in berlin", "in Paris"),
        ({"not_contains": "as an AI"}, "Sure", "As an AI, I cannot"),
    ],
)
def test_each_demand_tells_good_from_bad(demand: dict[str, Any], good: str, bad: str) -> None:
    check = Check(**demand)
    assert failures(good, [check]) == ()
    assert len(failures(bad, [check])) == 1


def test_a_failure_says_what_is_wrong() -> None:
    (wrong,) = failures('{"name": "Ada", "age": "old"}', [Check(json_schema=PERSON)])
    assert wrong == "At $.age its JSON does not match the schema: 'old' is not of type 'integer'"


def test_all_failures_are_named() -> None:
    assert len(failures("x", [Check(min_words=2, contains="y"), Check(regex=re.compile("z"))])) == 3
