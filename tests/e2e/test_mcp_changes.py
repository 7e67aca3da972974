"""A server that tells of changed tools is asked for them again, long before its list is too old."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.mcp.session import McpSession
from gateway.settings.mcp import McpServer
from tests.doubles.mcp_process import SERVER, mcp_server, wait_for_mcp

PATHS = {"http": "mcp", "sse": "sse"}


@asynccontextmanager
async def opened(transport: Any) -> AsyncIterator[McpSession]:
    if transport == "stdio":
        settings = McpServer(command=sys.executable, args=(str(SERVER),), tools_ttl_s=3600, connect_timeout_s=60)
        session = McpSession("double", settings)
        yield session
        await session.aclose()
        return
    with mcp_server(*(["sse"] if transport == "sse" else [])) as port:
        await asyncio.to_thread(wait_for_mcp, port)
        url = f"http://127.0.0.1:{port}/{'sse' if transport == 'sse' else 'mcp'}"
        settings = McpServer(
            url=url, transport="sse" if transport == "sse" else "http", tools_ttl_s=3600, connect_timeout_s=60
        )
        session = McpSession("double", settings)
        yield session
        await session.aclose()


async def names(session: McpSession) -> set[str]:
    return {tool.name for tool in await session.tools()}


async def is_offered(session: McpSession, name: str, *, expected: bool) -> bool:
    """Whether the tool is offered. Waits until it is as expected, for at most 5 s."""
    for _ in range(100):
        if (offered := name in await names(session)) is expected:
            return offered
        await asyncio.sleep(0.05)
    return offered


@pytest.mark.parametrize("transport", ["stdio", *PATHS])
async def test_a_tool_that_comes_and_goes_is_offered_only_while_it_is_there(transport: str) -> None:
    async with opened(transport) as session:
        assert "later" not in await names(session)

        await session.call("change", {}, 30)
        assert await is_offered(session, "later", expected=True)
        assert (await session.call("later", {}, 30)).text == "here"

        await session.call("change_later", {}, 30)
        assert not await is_offered(session, "later", expected=False)
