"""Reads what a `/v1/messages` request says about MCP servers: `mcp_servers`, and tools of the type `mcp_toolset`."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.mcp_offer import McpRequest
from gateway.wire.loose_objects import object_of, objects_of
from gateway.wire.references import loose

FIELD = "mcp_servers"
TOOLSET = "mcp_toolset"
_encode = msgspec.json.Encoder().encode


def servers_of(servers: Raw | UnsetType, tools: Raw | UnsetType) -> tuple[McpRequest, ...]:
    """Return the MCP servers that a request names. Mistakes are not raised, because the backend may know better."""
    if servers is UNSET:
        return ()
    sets = {
        str(each.get("mcp_server_name")): each
        for each in objects_of(loose(bytes(tools)) if tools is not UNSET and TOOLSET.encode() in bytes(tools) else None)
        if each.get("type") == TOOLSET
    }
    return tuple([_read(server, place, sets) for place, server in enumerate(objects_of(loose(bytes(servers))))])


def _read(server: dict[str, Any], place: int, sets: dict[str, dict[str, Any]]) -> McpRequest:
    label = str(server.get("name") or "")
    named, without = _names(server, sets.get(label))
    return McpRequest(
        label=label,
        url=str(server.get("url") or ""),
        names=named,
        without=without,
        asks_first=False,
        place=place,
        unread="authorization_token" if server.get("authorization_token") else "",
        field=FIELD,
    )


def _names(server: dict[str, Any], toolset: dict[str, Any] | None) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the names of the allowed tools, or None for all, and the names of tools that are switched off."""
    older = object_of(server.get("tool_configuration"))
    if older.get("enabled") is False:
        return (), ()
    allowed = older.get("allowed_tools")
    if toolset is None:
        return (tuple(map(str, allowed)) if isinstance(allowed, list) else None), ()
    configs = {name: object_of(each).get("enabled") for name, each in object_of(toolset.get("configs")).items()}
    if object_of(toolset.get("default_config")).get("enabled") is False:
        return tuple([name for name, enabled in configs.items() if enabled is True]), ()
    return None, tuple([name for name, enabled in configs.items() if enabled is False])
