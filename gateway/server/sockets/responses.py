"""`/v1/responses` over a WebSocket: each message `response.create` is answered as a request is, by any backend."""

import asyncio
import logging
from collections import defaultdict
from typing import Any

from litestar.types import Receive, Send

from gateway.errors import RequestError, TooBusy
from gateway.server.answer import AnswerHandler
from gateway.wire.responses.socket import SocketMemory, SocketRequest, fault, in_stream, is_done, refusal, stream_of
from gateway.wire.sse import data_in

log = logging.getLogger("foreword.sockets")

MOST_WAITING = 64
"""The most requests of one WebSocket that are being answered or wait."""
NOT_OF_A_REQUEST = (b"connection", b"upgrade", b"content-length", b"content-encoding", b"accept-encoding")


class ResponsesSocket:
    """One client's WebSocket. Requests of one stream are answered in order, and those of several at the same time."""

    def __init__(self, answer: AnswerHandler, scope: Any, headers: dict[bytes, bytes], send: Send) -> None:
        self._answer = answer
        kept = [
            (name, value)
            for name, value in headers.items()
            if name not in NOT_OF_A_REQUEST and not name.startswith(b"sec-websocket-")
        ]
        self._scope = {
            **scope,
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "headers": kept,
            "query_string": b"",
        }
        self._send: Any = send
        self._memory = SocketMemory()
        self._turns: defaultdict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._left = asyncio.Event()

    async def run(self, receive: Receive) -> None:
        """Answer until the client leaves. Then the running answers end, as those of a client that left."""
        tasks: set[asyncio.Task[None]] = set()
        try:
            while (message := await _next(receive)) is not None:
                if len(tasks) >= MOST_WAITING:
                    text = f"{MOST_WAITING} requests of this WebSocket are not answered yet."
                    await self._tell(fault(TooBusy(text, retry_after_s=1.0)), b"")
                    continue
                task = asyncio.create_task(self._obey(message))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            self._left.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _obey(self, message: str | bytes) -> None:
        stream = stream_of(message)
        try:
            async with self._turns[stream]:
                request = self._memory.request(message)
                if request.generates:
                    await self._perform(request, stream)
                    return
                for event in self._memory.begun(request):
                    await self._tell(event, stream)
        except RequestError as error:
            await self._tell(fault(error), stream)
        except Exception:
            log.exception("a request of a WebSocket failed")
            await self._tell(fault(RequestError("The gateway failed on this request.")), stream)

    async def _perform(self, request: SocketRequest, stream: bytes) -> None:
        """Answer a request with the handler of `/v1/responses`."""
        status, body, is_stream, is_told = 0, b"", False, False

        async def receive() -> Any:
            nonlocal is_told
            if not is_told:
                is_told = True
                return {"type": "http.request", "body": request.body, "more_body": False}
            await self._left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status, body, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                is_stream = any(
                    name == b"content-type" and value.startswith(b"text/event-stream")
                    for name, value in message["headers"]
                )
            elif is_stream:
                for event in data_in(message["body"]):
                    if not request.is_stored and is_done(event):
                        self._memory.keep(request, event)
                    await self._tell(event, stream)
            else:
                body += message["body"]

        headers = [*self._scope["headers"], (b"content-length", b"%d" % len(request.body))]
        await self._answer({**self._scope, "headers": headers}, receive, send)  # type: ignore[arg-type]
        if not is_stream:
            await self._tell(refusal(status, body), stream)

    async def _tell(self, event: bytes, stream: bytes) -> None:
        text = in_stream(bytes(event), stream).decode("utf-8", "replace")
        await self._send({"type": "websocket.send", "text": text})


async def _next(receive: Receive) -> str | bytes | None:
    """Return the client's next message, or None after the last one."""
    message: Any = await receive()
    if message["type"] != "websocket.receive":
        return None
    text: str | None = message.get("text")
    return message["bytes"] if text is None else text
