"""Forces an engine to call a tool.

A grammar restricts the answer to the JSON of one call, and the gateway converts this JSON to a tool call. llama.cpp
itself ignores `tool_choice` if the model's chat template does not support tools.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.errors import BadRequest
from gateway.wire.chat.completion import loose_json, text_of

_encode = msgspec.json.Encoder().encode
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
TOLD = (
    "Answer by calling one of the functions below. Write one JSON object with the function's name as "
    '"name" and its parameters as "arguments", and nothing else.'
)
SYSTEM = "system"


def allowed_functions(choice: Any, tools: Any) -> list[dict[str, Any]]:
    """Return the functions that a `tool_choice` allows. Raises `BadRequest` if `tools` has no functions, or lacks a
    function that the choice names."""
    functions = [tool["function"] for tool in tools or () if _is_function(tool)]
    names = _chosen(choice)
    known = [text_of(function.get("name")) for function in functions]
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None or not functions:
        which = "requires a call" if unknown is None else f"names the function {unknown!r}"
        raise BadRequest(f"'tool_choice' {which}; 'tools' has: {', '.join(known) or 'none'}.", param="tool_choice")
    return [function for function in functions if not names or text_of(function.get("name")) in names]


def _chosen(choice: Any) -> list[str]:
    """Return the names of the allowed functions, or [] if all are allowed."""
    if choice == "required":
        return []
    if _is_function(choice):
        return [text_of(choice["function"].get("name"))]
    allowed = choice.get("allowed_tools") if isinstance(choice, dict) else None
    if isinstance(allowed, dict) and isinstance(allowed.get("tools"), list):
        return [text_of(tool["function"].get("name")) for tool in allowed["tools"] if _is_function(tool)]
    raise BadRequest(
        "Invalid 'tool_choice': use 'auto', 'none', 'required', or an object that names a function.",
        param="tool_choice",
    )


def is_open(choice: Any) -> bool:
    """Return whether the choice allows an answer without a call."""
    if isinstance(choice, dict) and isinstance(choice.get("allowed_tools"), dict):
        return bool(choice["allowed_tools"].get("mode") != "required")
    return choice in (None, "auto", "none")


def _is_function(tool: Any) -> bool:
    return isinstance(tool, dict) and isinstance(tool.get("function"), dict)


def call_schema(functions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the JSON schema of one call, which may call any of the functions."""
    parameters = {f"f{place}": _parameters(function) for place, function in enumerate(functions)}
    calls = [_call(text_of(function.get("name")), f"f{place}") for place, function in enumerate(functions)]
    # references in a function's schema are relative to its root, which moves into the larger schema
    moved = {name: _moved(schema, f"#/$defs/{name}") for name, schema in parameters.items()}
    return {"$defs": moved, "anyOf": calls}


def _parameters(function: dict[str, Any]) -> dict[str, Any]:
    given = function.get("parameters")
    if given is not None and not isinstance(given, dict):
        name = text_of(function.get("name"))
        raise BadRequest(f"Invalid 'tools': the parameters of {name!r} must be a JSON schema.", param="tools")
    return given or NO_PARAMETERS


def _call(name: str, definition: str) -> dict[str, Any]:
    fields = {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{definition}"}}
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _moved(schema: Any, root: str) -> Any:
    if isinstance(schema, list):
        return [_moved(each, root) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: root + value.removeprefix("#") if _is_local(name, value) else _moved(value, root)
        for name, value in schema.items()
    }


def _is_local(name: str, value: Any) -> bool:
    return name == "$ref" and isinstance(value, str) and value.startswith("#")


def with_functions(messages: list[Any], functions: Sequence[dict[str, Any]]) -> list[Any]:
    """Describe the functions in the system message. If the first message is not a system message with text, add a
    system message."""
    text = "\n".join([TOLD, *(_encode(function).decode() for function in functions)])
    first = messages[0] if messages and isinstance(messages[0], dict) else {}
    content = first.get("content")
    if first.get("role") != SYSTEM or not isinstance(content, str):
        return [{"role": SYSTEM, "content": text}, *messages]
    return [{**first, "content": f"{content}\n\n{text}"}, *messages[1:]]


def call_in(text: str, id: str) -> dict[str, Any] | None:
    """Return the tool call that an engine wrote as JSON, or None if the JSON is incomplete."""
    fields = loose_json(text.encode())
    if not isinstance(fields, dict) or "arguments" not in fields:
        return None
    arguments = _encode(fields["arguments"]).decode()
    return {"id": id, "type": "function", "function": {"name": text_of(fields.get("name")), "arguments": arguments}}
