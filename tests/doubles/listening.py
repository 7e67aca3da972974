"""A worker's listener on a free port, in front of any ASGI application."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

from gateway.serving.limits import ClientLimits
from gateway.serving.listener import Listener


class Place:
    """A listener on a free port, looked at ten times a second."""

    def __init__(self, listener: Listener, port: int) -> None:
        self.listener = listener
        self.port = port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, data: bytes) -> bytes:
        """Everything that comes back until the connection closes."""
        reader, writer = await self.connect()
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def listening(application: Any, limits: ClientLimits, tls: SSLContext | None = None) -> AsyncIterator[Place]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    sock.setblocking(False)
    port = sock.getsockname()[1]
    listener = Listener(application, limits, asyncio.get_running_loop(), sweep_s=0.05, tls=tls)
    listener.listen(sock)
    try:
        yield Place(listener, port)
    finally:
        listener.drain()
        await listener.close(0.0)
