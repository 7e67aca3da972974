"""The MCP servers of the configuration, with their sessions."""

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.ask import ClientKey
from gateway.mcp.session import McpSession, McpUnavailable
from gateway.mcp_offer import McpResult, McpTool
from gateway.settings.mcp import Mcp, McpServer

MOST_SESSIONS = 64
"""The most sessions with one server. The oldest one that is not in use is closed for a new one."""


class McpServers:
    """Lists and calls the tools of the servers that a key may use. Sessions belong to one key, or are shared."""

    def __init__(self, settings: Mcp) -> None:
        self.settings = settings
        self._sessions: dict[tuple[str, str], McpSession] = {}

    def allowed(self, key: ClientKey) -> dict[str, McpServer]:
        """Return the servers that the key may use, by name."""
        servers = self.settings.servers.items()
        return {name: server for name, server in servers if not server.keys or key.name in server.keys}

    async def tools(self, name: str, key: ClientKey) -> tuple[McpTool, ...]:
        """Return the tools of a server that the configuration allows. Raises `McpUnavailable`."""
        allowed = self.settings.servers[name].tools
        session = await self._session(name, key)
        try:
            tools = await session.tools()
        finally:
            session.users -= 1
        return tuple([tool for tool in tools if not allowed or tool.name in allowed])

    async def call(
        self, name: str, key: ClientKey, tool: str, arguments: Mapping[str, Any], timeout_s: float
    ) -> McpResult:
        """Call a tool. Every failure is a result with an error."""
        try:
            session = await self._session(name, key)
        except McpUnavailable as error:
            return McpResult(error={"type": "http_error", "code": 503, "message": str(error)})
        try:
            return await session.call(tool, arguments, min(timeout_s, self.settings.servers[name].timeout_s))
        finally:
            session.users -= 1

    async def aclose(self) -> None:
        await asyncio.gather(*[session.aclose() for session in self._sessions.values()], return_exceptions=True)
        self._sessions.clear()

    async def _session(self, name: str, key: ClientKey) -> McpSession:
        """Return the session of a key, and count its user. The caller subtracts the user."""
        server = self.settings.servers[name]
        owner = (name, key.name if server.sessions == "key" else "")
        session = self._sessions.pop(owner, None) or McpSession(name, server)
        session.users += 1
        self._sessions[owner] = session  # at the end: the most recently used one
        mine = [each for each in self._sessions if each[0] == name]
        if len(mine) > MOST_SESSIONS:
            idle = next((each for each in mine if not self._sessions[each].users), None)
            if idle is None:
                session.users -= 1
                del self._sessions[owner]
                raise McpUnavailable(f"all {MOST_SESSIONS} sessions with the server {name!r} are in use")
            await self._sessions.pop(idle).aclose()
        return session
