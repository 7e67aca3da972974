"""Translates the tools of a `/v1/responses` request to the tools of a chat completion request.

Chat has no equivalent for tools that a provider hosts (file search, web search, …).
"""

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.errors import BadRequest
from gateway.mcp_offer import McpOffer
from gateway.wire.json_fields import explained, parsed
from gateway.wire.responses.items import WHY_CHAT

MEANINGLESS = {"allowed_callers": b'["direct"]', "async": b"false", "defer_loading": b"false"}
"""Fields that a chat function lacks, each with the value that has no effect. Any other value is refused."""


class _FunctionTool(Struct):
    name: str
    parameters: Raw | UnsetType = UNSET
    strict: Raw | UnsetType = UNSET
    description: Raw | UnsetType = UNSET
    output_schema: Raw | UnsetType = UNSET


class _ToolKind(Struct):
    type: str = ""


class _ToolChoice(Struct):
    type: str
    name: str = ""
    server_label: str = ""
    mode: str = "auto"
    tools: list[_ToolKind] = []


_kinds = msgspec.json.Decoder(list[Raw])
_kind = msgspec.json.Decoder(_ToolKind)
_function = msgspec.json.Decoder(_FunctionTool)
_fields = msgspec.json.Decoder(dict[str, Raw])
_choice = msgspec.json.Decoder(str | _ToolChoice)


def functions(tools: Raw | None, done: Collection[str] = ()) -> list[dict[str, Any]]:
    """Translate the tools to chat's functions. Raises `BadRequest` for any other type of tool.

    `done` are types of tools that the gateway runs itself. Tools of these types are left out.
    """
    if tools is None or bytes(tools) == b"null":
        return []
    try:
        every = list(enumerate(_kinds.decode(tools)))
        return [_function_of(tool, place) for place, tool in every if not done or parsed(_kind, tool).type not in done]
    except msgspec.ValidationError as error:
        raise BadRequest(f"Invalid value for 'tools': {error}.", param="tools", code="invalid_value") from None


def choice(chosen: Raw | None, offer: McpOffer | None = None) -> Any:
    """Translate `tool_choice` to chat's form. None is returned as None. Raises `BadRequest` for a tool that
    chat lacks."""
    if chosen is None or bytes(chosen) == b"null":
        return None
    try:
        selected = parsed(_choice, chosen)
    except msgspec.ValidationError as error:
        raise explained(error, "tool_choice") from None
    if isinstance(selected, str):
        return selected
    if selected.type == "function":
        return {"type": "function", "function": {"name": selected.name}}
    if selected.type == "mcp" and offer is not None:
        return _mcp_choice(selected, offer)
    if selected.type == "allowed_tools" and all(tool.type == "function" for tool in selected.tools):
        named = [{"type": "function", "function": tool} for tool in _names(chosen)]
        return {"type": "allowed_tools", "allowed_tools": {"mode": selected.mode, "tools": named}}
    raise BadRequest(
        f"Unsupported value: 'tool_choice' of type {selected.type!r} needs a tool that chat completions do not have. "
        f"Choose a function, 'auto', 'required' or 'none'. {WHY_CHAT}",
        param="tool_choice",
        code="unsupported_value",
    )


def offered(offer: McpOffer) -> list[dict[str, Any]]:
    """Return the tools of MCP servers as functions of a chat completion request."""
    return [
        {
            "type": "function",
            "function": {
                "name": each.function,
                "description": each.tool.description,
                "parameters": dict(each.tool.schema),
            },
        }
        for each in offer.tools
    ]


def _mcp_choice(selected: _ToolChoice, offer: McpOffer) -> Any:
    """Translate a choice of one MCP tool, or of any tool of a server."""
    names = [each.function for each in offer.of(selected.server_label) if selected.name in ("", each.tool.name)]
    if not names:
        what = f"{selected.name!r} of {selected.server_label!r}" if selected.name else f"{selected.server_label!r}"
        raise BadRequest(
            f"Invalid 'tool_choice': no tool {what} is offered.", param="tool_choice", code="invalid_value"
        )
    if selected.name:
        return {"type": "function", "function": {"name": names[0]}}
    named = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": named}}


def _names(chosen: Raw) -> list[dict[str, Any]]:
    return [{"name": tool["name"]} for tool in msgspec.json.decode(chosen)["tools"] if "name" in tool]


def _function_of(tool: Raw, place: int) -> dict[str, Any]:
    kind = parsed(_kind, tool).type
    if kind != "function":
        raise BadRequest(
            f"Unsupported value: 'tools[{place}].type' is {kind!r}, and the tools of chat completions are functions. "
            "Describe it as a function and answer its calls yourself, or use a model whose backend has "
            f"/v1/responses. {WHY_CHAT}",
            param=f"tools[{place}].type",
            code="unsupported_value",
        )
    fields = _fields.decode(tool)
    for name, nothing in MEANINGLESS.items():
        if name in fields and b"".join(bytes(fields[name]).split()) not in (b"null", nothing):
            raise BadRequest(
                f"Unsupported parameter: chat completions have no 'tools[{place}].{name}'. Leave it out. {WHY_CHAT}",
                param=f"tools[{place}].{name}",
                code="unsupported_parameter",
            )
    function = parsed(_function, tool)
    optional = {"parameters": function.parameters, "strict": function.strict, "description": function.description}
    given = {name: value for name, value in optional.items() if value is not UNSET and bytes(value) != b"null"}
    return {"type": "function", "function": {"name": function.name, **given}}
