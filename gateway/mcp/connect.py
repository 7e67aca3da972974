"""Connects to an MCP server with the official SDK, over streamable HTTP, server-sent events or stdin and stdout."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx2
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost

from gateway.settings.mcp import McpServer

LISTEN_AGAIN_S, LISTEN_AGAIN_MOST_S = 1.0, 60.0
STEADY_S = 60.0
"""A stream that lasted this long was not ended out of habit, so the next one is asked for after a second again."""
LARGEST_BODY = 16 * 2**20
"""The largest answer of a server in bytes. The SDK itself limits only single events."""


def client_of(server: McpServer, on_message: Callable[[Any], None]) -> AbstractAsyncContextManager[Client]:
    """Return the context of a client. `on_message` gets each notification of the server."""

    async def handle(message: Any) -> None:
        on_message(message)

    return _client(server, handle)


async def listen(client: Client, on_change: Callable[[], None]) -> None:
    """Call `on_change` whenever the server's tools may have changed.

    Since version 2026-07-28 of the protocol, servers tell this only to clients that listen. Earlier versions need no
    request: `on_message` gets the notification. A server that ends the stream is asked again after a second, and ever
    more rarely if it does not answer, or ends each stream soon.
    """
    wait_s = LISTEN_AGAIN_S
    while True:
        opened_s: float | None = None
        try:
            async with client.listen(tools_list_changed=True) as subscription:
                if not subscription.honored.tools_list_changed:
                    return
                opened_s = time.monotonic()
                on_change()  # a change between the last list of tools and now was not told
                async for _ in subscription:
                    on_change()
        except (ListenNotSupportedError, MCPError):
            return  # an earlier version, or a server that never tells
        except (SubscriptionLost, TimeoutError):
            pass
        if opened_s is not None and time.monotonic() - opened_s >= STEADY_S:
            wait_s = LISTEN_AGAIN_S
        await asyncio.sleep(wait_s)
        # a change may have been missed
        on_change()
        wait_s = min(2 * wait_s, LISTEN_AGAIN_MOST_S)


@asynccontextmanager
async def _client(server: McpServer, handle: Any) -> AsyncIterator[Client]:
    if server.command:
        parameters = StdioServerParameters(command=server.command, args=list(server.args), env=dict(server.env))
        async with Client(stdio_client(parameters), message_handler=handle, cache=None) as client:
            yield client
        return
    headers = dict(server.headers)
    if server.api_key:
        headers["authorization"] = f"Bearer {server.api_key}"
    if server.transport == "sse":
        transport = sse_client(server.url, headers, server.connect_timeout_s, server.timeout_s + 240)
        async with Client(transport, message_handler=handle, cache=None) as client:
            yield client
        return
    timeout = httpx2.Timeout(server.connect_timeout_s, read=server.timeout_s)
    async with httpx2.AsyncClient(headers=headers, timeout=timeout, transport=_LimitedTransport()) as http:
        transport = streamable_http_client(server.url, http_client=http)
        async with Client(transport, message_handler=handle, cache=None) as client:
            yield client


class _LimitedTransport(httpx2.AsyncHTTPTransport):  # type: ignore[misc]  # a library without types here
    """Raises an error if a JSON answer is larger than `LARGEST_BODY`."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            return response  # a stream is endless, and the SDK limits its events
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _LimitedStream(response.stream)
        return response


class _LimitedStream(httpx2.AsyncByteStream):  # type: ignore[misc]  # as above
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._inner:
            size += len(piece)
            if size > LARGEST_BODY:
                raise httpx2.StreamError(f"the answer is larger than {LARGEST_BODY} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
