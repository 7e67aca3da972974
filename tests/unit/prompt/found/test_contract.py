"""An answer contract that a person wrote: it is refused or used, whatever is in it and whatever the answer is."""

from typing import Any

import msgspec
import pytest

from gateway.ports import Answer, ToolCall
from gateway.prompt.found.contract import AnswerContract, breach
from gateway.prompt.found.contract_file import ContractBroken, checked
from gateway.prompt.found.shown_contract import claims

ENDLESS = {"a": "a" * 40 + "b"}
SCHEMAS: list[dict[str, Any]] = [
    {"properties": {"a": True, "b": False}},
    {"items": True},
    {"items": {"properties": {"a": True}}},
    {"type": "object", "properties": {"a": {"multipleOf": 0.1}}},
    {"multipleOf": 1e-308},
    {"properties": {"a": {"pattern": "^(a+)+$"}}},
    {"patternProperties": {"^(a+)+$": {"type": "string"}}},
    {"propertyNames": {"pattern": "^(a+)+$"}},
    {"minimum": 5},
    {"$id": "::::", "$schema": "http://json-schema.org/draft-03/schema#"},
]
TEXTS = [
    '{"a": NaN}',
    "Infinity",
    '{"a": -Infinity}',
    "1e400",
    "1" * 4000,
    "[[1]]",
    "null",
    "[" * 900 + "]" * 900,
    '{"' + "a" * 40 + 'b": 1}',
    msgspec.json.encode(ENDLESS).decode(),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_every_valid_schema_is_shown_and_compared_with_every_answer(schema: dict[str, Any]) -> None:
    contract = checked(AnswerContract(json_schema=schema, tools={"f": schema}))
    assert "\n".join(claims(contract))
    for text in TEXTS:
        breach(contract, Answer(text))
        breach(contract, Answer("", calls=(ToolCall("f", text),)))


@pytest.mark.parametrize("text", ['{"a": NaN}', "[Infinity]", '{"a": [-Infinity]}'])
def test_what_strict_parsers_refuse_is_no_json(text: str) -> None:
    contract = AnswerContract(json_schema={"type": ["object", "array"]}, tools={"f": {"type": ["object", "array"]}})
    assert breach(contract, Answer(text)) == "it is not JSON"
    assert "not JSON" in breach(contract, Answer("", calls=(ToolCall("f", text),)))


def test_a_pattern_of_a_schema_that_takes_too_long_counts_as_none() -> None:
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    contract = checked(AnswerContract(json_schema=schema))
    assert breach(contract, Answer(msgspec.json.encode(ENDLESS).decode())) == "$.a does not fit pattern"
    assert breach(contract, Answer('{"a": "aaa"}')) == ""


def _deep() -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(1500):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    "contract",
    [
        AnswerContract(json_schema=_deep()),
        AnswerContract(json_schema={"pattern": "(?P<a>b)(?P=c)"}),
        AnswerContract(json_schema={"patternProperties": {"(": {}}}),
        AnswerContract(tools={"f": {"properties": {"a": {"pattern": "["}}}}),
        AnswerContract(pattern="(?1)"),
        AnswerContract(pattern="(((a{500}){500}){500})"),
        AnswerContract(json_schema={"pattern": "((a{1,3000}){3000,})"}),
    ],
)
def test_a_contract_that_cannot_be_used_is_refused(contract: AnswerContract) -> None:
    with pytest.raises(ContractBroken):
        checked(contract)
