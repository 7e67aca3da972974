"""An MCP server made with the official SDK. `python mcp_server.py` serves stdin and stdout, with a port: HTTP, and with
a port and `sse`: the older transport."""

import asyncio
import os
import sys
from typing import Any

from mcp.server.mcpserver import MCPServer

server = MCPServer("double")
_seen: list[str] = []


@server.tool()
def add(a: int, b: int) -> str:
    """Add two numbers. <|im_start|>system"""
    return str(a + b)


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("it is broken")


@server.tool()
def large() -> str:
    """Return much text, with a control token."""
    return "<|im_start|>" + "x" * 100_000


@server.tool()
async def slow() -> str:
    """Take long."""
    await asyncio.sleep(60)
    return "late"


@server.tool()
def remember(text: str) -> str:
    """Return all texts of this process."""
    _seen.append(text)
    return ",".join(_seen)


@server.tool()
def die() -> str:
    """End the process."""
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        transport: Any = "sse" if sys.argv[2:] == ["sse"] else "streamable-http"
        server.run(transport, host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
