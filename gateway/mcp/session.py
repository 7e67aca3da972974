"""One session with an MCP server. A task of its own opens and closes the connection, as the SDK requires."""

import asyncio
import logging
from collections.abc import Mapping
from time import monotonic, perf_counter_ns
from typing import Any

from msgspec.structs import replace

from gateway.mcp.result import result_of, tool_of
from gateway.mcp_offer import McpResult, McpTool
from gateway.settings.mcp import McpServer

log = logging.getLogger("foreword.mcp")

MOST_PAGES = 20
MOST_TOOLS = 128
TIMED_OUT = -32001
CLOSED = -32000
ENDED = "Session terminated"
"""The SDK's message if a server no longer knows the session. The server has not run the call."""


class McpUnavailable(Exception):
    """The server cannot be reached, or does not speak MCP. The text names no address, since it may hold a secret."""


class McpSession:
    """A session that is opened when it is first used, and opened again after it has ended."""

    def __init__(self, label: str, server: McpServer) -> None:
        self.label = label
        self.users = 0
        self._server = server
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[None] | None = None
        self._client: Any = None
        self._stop = asyncio.Event()
        self._tools: tuple[McpTool, ...] = ()
        self._fresh_until_s = 0.0
        self._changes = 0

    async def tools(self) -> tuple[McpTool, ...]:
        """Return the server's tools, at most `tools_ttl_s` old. Raises `McpUnavailable`."""
        if monotonic() < self._fresh_until_s and self._is_open:
            return self._tools
        changes = self._changes
        try:
            async with asyncio.timeout(self._server.connect_timeout_s):
                self._tools = await self._listed()
        except TimeoutError:
            await self.aclose()
            raise McpUnavailable(f"it did not answer within {self._server.connect_timeout_s:g} s") from None
        # a change during the fetch would otherwise be lost
        self._fresh_until_s = monotonic() + self._server.tools_ttl_s if changes == self._changes else 0.0
        return self._tools

    async def call(self, name: str, arguments: Mapping[str, Any], timeout_s: float) -> McpResult:
        """Call a tool. Every failure is a result with an error; only cancellation is raised."""
        began = perf_counter_ns()
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                result = await self._called(name, arguments)
        except TimeoutError:
            result = _failure("mcp_protocol_error", TIMED_OUT, f"no result within {timeout_s:.3g} s")
        except McpUnavailable as error:
            result = _failure("http_error", 502, f"The MCP server {self.label!r} is not available: {error}.")
        return replace(result, took_us=(perf_counter_ns() - began) // 1000)

    async def aclose(self) -> None:
        """End the session. A later use opens a new one."""
        owner, self._owner, self._client, self._fresh_until_s = self._owner, None, None, 0.0
        if owner is not None:
            self._stop.set()
            await asyncio.wait([owner], timeout=8)
            owner.cancel()

    @property
    def _is_open(self) -> bool:
        return self._client is not None and self._owner is not None and not self._owner.done()

    async def _called(self, name: str, arguments: Mapping[str, Any]) -> McpResult:
        from mcp import MCPError

        for attempt in range(2):
            client = await self._opened()
            try:
                return result_of(await client.call_tool(name, dict(arguments)), self._server.max_output_kb * 1024)
            except MCPError as error:
                if error.code == CLOSED or error.message == ENDED:
                    await self.aclose()
                if error.message == ENDED and not attempt:
                    continue
                return _failure("mcp_protocol_error", error.code, error.message[:2000])
            except Exception as error:  # the SDK validates what the server sends, and raises errors of many kinds
                log.warning("an MCP call failed", exc_info=error, extra={"server": self.label})
                await self.aclose()
                return _failure(
                    "mcp_protocol_error", CLOSED, f"the server's answer is not MCP ({type(error).__name__})"
                )
        raise AssertionError("the second attempt returns")

    async def _listed(self) -> tuple[McpTool, ...]:
        listed: dict[str, McpTool] = {}
        client = await self._opened()
        cursor: str | None = None
        try:
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor)
                for tool in page.tools:
                    listed.setdefault(tool.name, tool_of(tool))
                cursor = page.next_cursor
                if not cursor or len(listed) >= MOST_TOOLS:
                    break
        except Exception as error:  # as above
            await self.aclose()
            log.warning("an MCP server could not list its tools", exc_info=error, extra={"server": self.label})
            raise McpUnavailable(f"it could not list its tools ({type(error).__name__})") from None
        return tuple(listed.values())[:MOST_TOOLS]

    async def _opened(self) -> Any:
        async with self._lock:
            if self._is_open:
                return self._client
            await self.aclose()
            self._stop = asyncio.Event()
            ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._owner = asyncio.create_task(self._own(ready, self._stop), name=f"mcp {self.label}")
            try:
                async with asyncio.timeout(self._server.connect_timeout_s):
                    self._client = await ready
            except TimeoutError:
                raise McpUnavailable(f"no session within {self._server.connect_timeout_s:g} s") from None
            finally:
                if self._client is None:
                    self._owner.cancel()
            return self._client

    async def _own(self, ready: "asyncio.Future[Any]", stop: asyncio.Event) -> None:
        # imported here: the SDK takes a second to load
        connect = await asyncio.to_thread(_connect)
        try:
            async with connect.client_of(self._server, self._told) as client:
                if not ready.done():
                    ready.set_result(client)
                listener = asyncio.create_task(connect.listen(client, self._changed), name=f"mcp {self.label} changes")
                try:
                    await stop.wait()
                finally:
                    listener.cancel()
                    await asyncio.wait([listener])
        except Exception as error:
            log.warning("an MCP session ended", exc_info=error, extra={"server": self.label})
            if not ready.done():
                ready.set_exception(McpUnavailable(f"it cannot be reached ({_name_of(error)})"))

    def _told(self, message: Any) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            self._changed()

    def _changed(self) -> None:
        self._changes += 1
        self._fresh_until_s = 0.0


def _connect() -> Any:
    from gateway.mcp import connect

    return connect


def _name_of(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__


def _failure(kind: str, code: int, message: str) -> McpResult:
    return McpResult(error={"type": kind, "code": code, "message": message})
