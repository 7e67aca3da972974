"""Reads the tools of the type `mcp` in a request of OpenAI's API."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.mcp_offer import McpRequest
from gateway.wire.chat.completion import loose_json
from gateway.wire.json_fields import parsed
from gateway.wire.loose_objects import object_of

NAME = "mcp"
MARK = b'"mcp"'
UNREAD = ("authorization", "connector_id", "headers", "tunnel_id", "defer_loading", "allowed_callers")
_raws = msgspec.json.Decoder(list[Raw])


def mcp_of(tools: Raw | UnsetType) -> tuple[McpRequest, ...]:
    """Return the tools of type `mcp`. Mistakes are not raised, because the backend may run the tools itself."""
    if tools is UNSET or MARK not in bytes(tools):
        return ()
    try:
        every = [object_of(loose_json(bytes(raw))) for raw in parsed(_raws, tools)]
    except msgspec.DecodeError:
        return ()
    return tuple([_read(tool, place) for place, tool in enumerate(every) if tool.get("type") == NAME])


def _read(tool: dict[str, Any], place: int) -> McpRequest:
    allowed, approval = tool.get("allowed_tools"), tool.get("require_approval")
    unread = next((name for name in UNREAD if tool.get(name)), "")
    names, only_reading = _filter(allowed)
    exempt, exempts_reading = _filter(object_of(approval).get("never"))
    return McpRequest(
        label=str(tool.get("server_label") or ""),
        url=str(tool.get("server_url") or ""),
        names=names,
        only_reading=only_reading,
        asks_first=approval != "never",
        exempt=exempt or (),
        exempts_reading=exempts_reading,
        place=place,
        unread=unread,
    )


def _filter(value: Any) -> tuple[tuple[str, ...] | None, bool]:
    """Read a filter of tools: the names, or None for all, and whether only tools that read match."""
    if isinstance(value, list):
        return tuple([name for name in value if isinstance(name, str)]), False
    names = object_of(value).get("tool_names")
    listed = tuple([name for name in names if isinstance(name, str)]) if isinstance(names, list) else None
    return listed, object_of(value).get("read_only") is True
