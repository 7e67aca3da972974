"""Runs the MCP server of `mcp_server.py` in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.doubles.ports import free_port

SERVER = Path(__file__).with_name("mcp_server.py")


@contextmanager
def mcp_server(*transport: str) -> Iterator[int]:
    """Start the server over HTTP and yield its port, at which it does not listen yet."""
    port = free_port()
    server = subprocess.Popen([sys.executable, str(SERVER), str(port), *transport], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        server.kill()  # asked politely, it waits as long as a stream to a client is open
        server.wait(10)


def wait_for_mcp(port: int) -> None:
    for _ in range(600):
        try:
            httpx.get(f"http://127.0.0.1:{port}/mcp", timeout=2)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the MCP server does not listen")
