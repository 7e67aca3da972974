"""Reads what a `/v1/responses` request says about calls of MCP tools: earlier calls, approvals, and limits."""

import hashlib
import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.wire.loose_objects import object_of

LONGEST_FUNCTION = 64
_UNUSUAL = re.compile(r"[^a-zA-Z0-9_-]")


class Approval(Struct, frozen=True):
    """A call for which the model asked the client, and the client's answer."""

    request: str
    label: str
    name: str
    arguments: str
    approves: bool
    reason: str = ""


class _McpInput(Struct):
    input: Any = None


class _McpTools(Struct):
    tools: list[Any] | None = None


class _CallLimit(Struct):
    max_tool_calls: Any = None


_raws = msgspec.json.Decoder(list[Raw])
_object = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode
_tools = msgspec.json.Decoder(_McpTools)
_limit = msgspec.json.Decoder(_CallLimit)
_body = msgspec.json.Decoder(_McpInput)


def function_name(label: str, tool: str) -> str:
    """Return the name of the function that stands for a tool. Names that are not allowed or too long get a hash."""
    plain = f"{label}__{tool}"
    name = _UNUSUAL.sub("_", plain)
    if name == plain and len(name) <= LONGEST_FUNCTION:
        return name
    return f"{name[: LONGEST_FUNCTION - 9]}_{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def input_items(raw: bytes) -> list[dict[str, Any]]:
    """Return the items of `input` that are objects."""
    given = _body.decode(raw).input
    return [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []


def known_lists(items: list[dict[str, Any]]) -> set[str]:
    """Return the labels of the servers whose tools an earlier response has listed."""
    return {str(item.get("server_label")) for item in items if item.get("type") == "mcp_list_tools"}


def approvals(items: list[dict[str, Any]]) -> list[Approval]:
    """Return the client's answers to requests for approval, of calls that were not made yet.

    Answers before the last message belong to an earlier turn. An answer without its request has the label "".
    """
    asked = {item.get("id"): item for item in items if item.get("type") == "mcp_approval_request"}
    done = {item.get("approval_request_id") for item in items if item.get("type") == "mcp_call"}
    last = max((at for at, item in enumerate(items) if item.get("type", "message") == "message"), default=-1)
    found = []
    for at, item in enumerate(items):
        id = item.get("approval_request_id")
        if item.get("type") != "mcp_approval_response" or at < last or id in done:
            continue
        request = asked.get(id, {})
        label, name, arguments = (str(request.get(field) or "") for field in ("server_label", "name", "arguments"))
        approves, reason = item.get("approve") is True, str(item.get("reason") or "")
        found.append(Approval(str(id), label, name, arguments, approves, reason))
    return found


def own_functions(raw: bytes) -> set[str]:
    """Return the names of the functions that the client itself defines."""
    tools = _tools.decode(raw).tools
    objects = [tool for tool in tools or () if isinstance(tool, dict)]
    # an API has the name in the tool itself, or in its field `function`
    return {str(tool.get("name") or object_of(tool.get("function")).get("name")) for tool in objects}


def next_round(raw: bytes, said: str, calls: list[tuple[str, str, str, str]], *, is_last: bool) -> bytes:
    """Return the chat request for the next round. `calls` holds for each call its id, function, arguments and result.

    A `tool_choice` that forced the first call is dropped. In the last round, the model may not call tools.
    """
    fields = _object.decode(raw)
    asked = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": text}} for id, name, text, _ in calls
    ]
    added: list[dict[str, Any]] = [{"role": "assistant", "content": said or None, "tool_calls": asked}] if asked else []
    added += [{"role": "tool", "tool_call_id": id, "content": result} for id, _, _, result in calls]
    fields["messages"] = Raw(_encode([*_raws.decode(fields["messages"]), *added]))
    if is_last:
        fields["tool_choice"] = Raw(b'"none"')
    elif bytes(fields.get("tool_choice", b'"none"')) != b'"none"':
        fields.pop("tool_choice")
    return _encode(fields)


def call_limit(raw: bytes) -> int | None:
    """Return the client's own limit for the number of calls, or None."""
    limit = _limit.decode(raw).max_tool_calls
    return limit if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0 else None


def encode_response(response: dict[str, Any]) -> bytes:
    return _encode(response)
