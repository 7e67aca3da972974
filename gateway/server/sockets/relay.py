"""Passes the messages of a WebSocket both ways until one side ends it, and then tells the other side how it ended."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from litestar.types import Receive, Send
from msgspec import Struct

from gateway.errors import RequestError
from gateway.ports import BackendSocket, SocketEnd
from gateway.wire.close_codes import BAD_GATEWAY, LOST, WENT_AWAY
from gateway.wire.realtime import USAGE, UsageSum, error_event

Check = Callable[[str | bytes], Awaitable[None]]


class Traffic(Struct):
    """What went through in one direction. `size` is in characters of texts and bytes of other messages."""

    messages: int = 0
    size: int = 0

    def add(self, message: str | bytes) -> None:
        self.messages += 1
        self.size += len(message)


class Relay:
    """One client and one backend. `ended_by` says which of them ended the connection: `client` or `backend`."""

    def __init__(self, receive: Receive, send: Send, socket: BackendSocket, check: Check) -> None:
        self.received, self.sent = Traffic(), Traffic()
        self.usage = UsageSum()
        self.refused = 0
        """The messages of the client that were not passed on."""
        self.ended_by = ""
        self.ending = SocketEnd(LOST)
        self._receive: Any = receive
        self._send: Any = send
        self._socket = socket
        self._check = check

    async def run(self) -> None:
        """Pass messages until one side ends the connection. A cancelled call leaves both sides open."""
        upwards = asyncio.create_task(self._upwards(), name="to the backend")
        downwards = asyncio.create_task(self._downwards(), name="to the client")
        try:
            done, _ = await asyncio.wait((upwards, downwards), return_when=asyncio.FIRST_COMPLETED)
        finally:
            upwards.cancel()
            downwards.cancel()
            await asyncio.gather(upwards, downwards, return_exceptions=True)
        self.ended_by = "backend" if downwards in done else "client"
        self.ending = (downwards if downwards in done else upwards).result()
        if self.ended_by == "backend":
            await self.close_client(self.ending)
        else:
            await self.close_backend(self.ending)

    async def close_client(self, ending: SocketEnd) -> None:
        """Tell the client how the backend ended the connection. A lost connection has no code that may be sent."""
        code, reason = ending.code, ending.reason
        if code == LOST:
            code, reason = BAD_GATEWAY, "The connection to the backend was lost."
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def close_backend(self, ending: SocketEnd) -> None:
        code = WENT_AWAY if ending.code == LOST else ending.code
        await self._socket.close(code, ending.reason)

    async def _upwards(self) -> SocketEnd:
        while (message := await self._receive())["type"] == "websocket.receive":
            content = message.get("text")
            content = message["bytes"] if content is None else content
            self.received.add(content)
            try:
                await self._check(content)
            except RequestError as error:
                self.refused += 1
                await self._send({"type": "websocket.send", "text": error_event(error)})
                continue
            await self._socket.send(content)
        return SocketEnd(message["code"], message["reason"])

    async def _downwards(self) -> SocketEnd:
        while not isinstance(message := await self._socket.receive(), SocketEnd):
            self.sent.add(message)
            if isinstance(message, str):
                if USAGE in message:
                    self.usage.read(message)
                await self._send({"type": "websocket.send", "text": message})
            else:
                await self._send({"type": "websocket.send", "bytes": message})
        return message
