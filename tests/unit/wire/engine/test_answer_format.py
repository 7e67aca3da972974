"""What an engine's grammar cannot hold an answer to is refused by name, not dropped."""

import json
from typing import Any

import pytest

from gateway.ask import Endpoint
from gateway.errors import BadRequest
from gateway.wire.engine import ask as engine
from gateway.wire.engine.answer_format import MOST_CHOICES, TEXTS_PER_CHOICE
from gateway.wire.engine.ask import Limits, Neutraliser

TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
DATE = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}


def sent(**fields: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **fields}
    return json.loads(engine.ask(json.dumps(body).encode(), Endpoint.CHAT, Limits(), Neutraliser([])).body)


def called(**fields: Any) -> engine.EngineAsk:
    """A request to an engine with a grammar."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "tools": TOOLS, **fields}
    return engine.ask(json.dumps(body).encode(), Endpoint.CHAT, Limits(has_grammar=True), Neutraliser([]))


def notes(**fields: Any) -> list[tuple[str, str, str]]:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **fields}
    limits = Limits(has_grammar=True, reads_tools=False)
    ask = engine.ask(json.dumps(body).encode(), Endpoint.CHAT, limits, Neutraliser([]))
    return [(note.stage, note.decision, note.reason) for note in ask.notes]


def schema(inner: Any, strict: bool = True) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": strict, "schema": inner}}


def test_a_strict_schema_that_the_grammar_cannot_say_is_refused_with_the_places() -> None:
    odd = {"type": "object", "properties": {"d": DATE, "n": {"type": "number", "minimum": 1}}, "not": {}}

    with pytest.raises(BadRequest, match=r"cannot enforce not, properties\.d\.pattern, properties\.n\.minimum") as no:
        sent(response_format=schema(odd))
    assert no.value.param == "response_format.json_schema.schema"


@pytest.mark.parametrize(
    "inner",
    [
        {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": False},
        {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 9}, "minItems": 1, "maxItems": 3},
        {"type": "string", "pattern": "^[a-z]+(-[0-9]{2})?$"},
        {"$defs": {"a": {"type": "string"}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}},
    ],
)
def test_a_strict_schema_that_the_grammar_can_say_goes_to_the_engine(inner: Any) -> None:
    assert sent(response_format=schema(inner))["response_format"] == schema(inner)


def test_a_schema_that_is_not_strict_goes_to_the_engine_as_far_as_it_is_known() -> None:
    assert sent(response_format=schema(DATE, strict=False))["response_format"] == schema(DATE, strict=False)


@pytest.mark.parametrize(
    "form",
    [
        "json",
        {"type": "json"},
        {},
        7,
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": "{}"},
        schema("{}"),
    ],
)
def test_a_response_format_of_no_known_form_is_refused(form: Any) -> None:
    with pytest.raises(BadRequest, match="response_format"):
        sent(response_format=form)


def test_a_long_enumeration_of_texts_is_one_pattern_for_the_engine() -> None:
    form = schema({"enum": [f"value {n}" for n in range(1000)]})
    inner = sent(response_format=form)["response_format"]["json_schema"]["schema"]
    assert inner["pattern"].startswith("^value (")


def nested(depth: int) -> Any:
    return {"type": "array", "items": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize(
    "inner",
    [
        {"enum": list(range(MOST_CHOICES + 1))},
        {"enum": [f"value {n}" for n in range(MOST_CHOICES * TEXTS_PER_CHOICE)]},
        {"anyOf": [{"enum": ["a", "b"]}] * 100},
        {"type": "array", "items": {"type": "string", "maxLength": 100_000}},
        {"properties": {f"p{n}": {"type": "string", "maxLength": 1000} for n in range(60)}},
        {"properties": {f"p{n}": {"type": "integer", "minimum": n} for n in range(130)}},
        nested(40),
        {"enum": ["x" * 70_000]},
    ],
    ids=["numbers", "texts", "branches", "repeats", "repeats together", "integers", "depth", "bytes"],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_schema_that_would_hold_up_other_requests_is_refused(inner: Any, strict: bool) -> None:
    with pytest.raises(BadRequest, match="Invalid 'response_format'"):
        sent(response_format=schema(inner, strict))


@pytest.mark.parametrize(
    ("choice", "what"),
    [
        ("required", "cannot force a tool call"),
        ({"type": "function", "function": {"name": "look_up"}}, "cannot force a tool call"),
        ({"type": "function", "function": {"name": "zz"}}, "names the function 'zz'; 'tools' has: look_up"),
    ],
)
def test_a_required_tool_call_is_refused(choice: Any, what: str) -> None:
    with pytest.raises(BadRequest, match=what) as refused:
        sent(tools=TOOLS, tool_choice=choice)
    assert refused.value.param == "tool_choice"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look_up"}}])
def test_a_required_call_becomes_the_grammar_of_one_call(choice: Any) -> None:
    parameters = {"$defs": {"day": {"type": "string"}}, "properties": {"d": {"$ref": "#/$defs/day"}}}
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": parameters}}]

    ask = called(tools=tools, tool_choice=choice)

    body = json.loads(ask.body)
    grammar = body["response_format"]["json_schema"]["schema"]
    assert ask.is_call
    assert [each["properties"]["name"] for each in grammar["anyOf"]] == [{"const": "look_up"}]
    assert grammar["$defs"]["f0"]["properties"]["d"]["$ref"] == "#/$defs/f0/$defs/day"
    assert not {"tools", "tool_choice"} & set(body)
    assert "look_up" in body["messages"][0]["content"]


def test_only_the_allowed_functions_can_be_called() -> None:
    more = [*TOOLS, {"type": "function", "function": {"name": "add"}}]
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": more[1:]}}
    grammar = json.loads(called(tools=more, tool_choice=allowed).body)["response_format"]["json_schema"]["schema"]
    assert [each["properties"]["name"]["const"] for each in grammar["anyOf"]] == ["add"]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"tools": [], "tool_choice": "required"}, "requires a call; 'tools' has: none"),
        ({"tool_choice": {"type": "function", "function": {"name": "zz"}}}, "names the function 'zz'"),
        ({"tool_choice": "needed"}, "use 'auto', 'none', 'required'"),
        (
            {
                "tool_choice": "required",
                "tools": [{"function": {"name": "f", "parameters": {"enum": list(range(150))}}}],
            },
            "Invalid 'tools': the schema has 300",
        ),
        (
            {
                "tool_choice": "required",
                "tools": [{"function": {"name": "f", "strict": True, "parameters": {"properties": {"d": DATE}}}}],
            },
            r"cannot enforce properties\.d\.pattern",
        ),
    ],
)
def test_a_call_that_cannot_be_required_is_refused(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        called(**fields)


def test_what_the_grammar_lacks_is_noted_where_the_schema_is_not_strict() -> None:
    odd = {"type": "object", "properties": {"d": DATE}, "not": {}}
    function = {"type": "function", "function": {"name": "f", "parameters": odd}}

    assert notes(response_format=schema(odd, strict=False)) == [
        ("response-format", "not enforced", "this engine's grammar lacks not, properties.d.pattern")
    ]
    assert notes(tools=[function], tool_choice="required") == [
        ("tools", "not enforced", "this engine's grammar lacks not, properties.d.pattern")
    ]
    assert notes(response_format=schema({"type": "string"}, strict=False)) == []


@pytest.mark.parametrize(("choice", "count"), [("auto", 1), (None, 1), ("none", 0)])
def test_tools_that_the_models_template_has_no_place_for_are_noted(choice: Any, count: int) -> None:
    assert (
        notes(tools=TOOLS, tool_choice=choice)
        == [("tools", "left out", "the model's chat template has no place for tools")] * count
    )


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_tool_choice_that_leaves_it_open_goes_to_the_engine(choice: str) -> None:
    assert sent(tools=TOOLS, tool_choice=choice)["tool_choice"] == choice


@pytest.mark.parametrize(("stop", "words"), [("", []), (["", ", three"], [", three"]), ("x", ["x"])])
def test_an_empty_stop_text_stops_nothing(stop: Any, words: list[str]) -> None:
    assert sent(stop=stop)["stop"] == words
