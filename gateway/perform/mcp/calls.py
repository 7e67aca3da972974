"""Calls tools of MCP servers for one request, within limits on rounds, calls and time. Each call is noted."""

import asyncio
import json
from collections.abc import Sequence
from time import monotonic
from typing import Any

from gateway.ask import ClientKey
from gateway.exchange import Note
from gateway.mcp.servers import McpServers
from gateway.mcp_offer import McpResult, OfferedMcpTool

STAGE = "mcp"


class McpCalls:
    """The calls of one request. `notes` grows with each call, and `round` is the number of rounds that are over."""

    def __init__(self, servers: McpServers, key: ClientKey, most_calls: int | None = None) -> None:
        """`most_calls` is the client's own limit."""
        limits = servers.settings
        self.notes: list[Note] = []
        self.round = 0
        self._servers = servers
        self._key = key
        self._left = limits.max_calls if most_calls is None else min(most_calls, limits.max_calls)
        self._most_rounds = limits.max_rounds
        self._until_s = monotonic() + limits.timeout_s

    @property
    def are_over(self) -> bool:
        """Whether the model may call no more tools."""
        return self.round >= self._most_rounds or self._left <= 0 or monotonic() >= self._until_s

    async def run_all(self, calls: Sequence[tuple[OfferedMcpTool, str]]) -> list[McpResult]:
        """Make all calls of a round at the same time. Each has its arguments as JSON text."""
        return await asyncio.gather(*[self.run(tool, text) for tool, text in calls])

    async def run(self, tool: OfferedMcpTool, text: str) -> McpResult:
        """Call a tool within the limits, and note the call."""
        left_s = self._until_s - monotonic()
        self._left -= 1
        arguments = _object_in(text)
        if self._left < 0 or left_s <= 0 or self.round >= self._most_rounds:
            result = _refused("not called: the limit of this request for calls, rounds or time is reached")
        elif arguments is None:
            result = _refused("not called: the arguments are not a JSON object")
        else:
            result = await self._servers.call(tool.server, self._key, tool.tool.name, arguments, left_s)
        data = {"server": tool.server, "tool": tool.tool.name, "ok": result.error is None, "round": self.round}
        decision = "called" if result.error is None else "failed"
        self.notes.append(Note(STAGE, decision, f"{tool.label}.{tool.tool.name}", data, result.took_us))
        return result


def _object_in(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refused(message: str) -> McpResult:
    return McpResult(error={"type": "mcp_protocol_error", "code": -32000, "message": message})
