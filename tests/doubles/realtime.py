"""A stub of a server with OpenAI's realtime API: it answers each `response.create`, and does what messages ask for."""

import asyncio
import contextlib
import json
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

USAGE = {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42, "input_token_details": {"cached_tokens": 10}}


class RealtimeStub:
    """`start` returns the port. `handshakes` and `endings` say what arrived; `heard` has all messages."""

    def __init__(self) -> None:
        self.handshakes: list[Request] = []
        self.heard: list[str | bytes] = []
        self.endings: list[tuple[int | None, str | None]] = []
        self.refuse_with = 0
        self.open = 0
        self._server: Server | None = None

    async def start(self) -> int:
        self._server = await serve(
            self._answer,
            "127.0.0.1",
            0,
            process_request=self._look,
            subprotocols=["realtime"],  # type: ignore[list-item]
            select_subprotocol=lambda _, offered: offered[0] if offered else None,
            max_size=None,
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def _look(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request)
        if not self.refuse_with:
            return None
        body = json.dumps({"error": {"message": "the stub refuses", "code": "no_such_model"}}).encode()
        status, self.refuse_with = self.refuse_with, 0
        headers = Headers(
            [("content-type", "application/json"), ("content-length", str(len(body))), ("x-request-id", "r7")]
        )
        return Response(status, "Refused", headers, body)

    async def _answer(self, connection: ServerConnection) -> None:
        self.open += 1
        await connection.send(json.dumps({"type": "session.created", "session": {"id": "sess_1"}}))
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                self.heard.append(message)
                if isinstance(message, bytes):
                    await connection.send(message)
                else:
                    await self._obey(connection, json.loads(message))
        self.open -= 1
        self.endings.append((connection.close_code, connection.close_reason))

    async def _obey(self, connection: ServerConnection, event: dict[str, Any]) -> None:
        match event["type"]:
            case "response.create":
                for delta in ("Hel", "lo"):
                    await connection.send(json.dumps({"type": "response.output_text.delta", "delta": delta}))
                done = {"id": "resp_1", "status": "completed", "output": [], "usage": USAGE}
                await connection.send(json.dumps({"type": "response.done", "response": done}))
            case "stub.close":
                await connection.close(event["code"], event["reason"])
            case "stub.vanish":
                connection.transport.abort()
            case "stub.flood":
                await asyncio.gather(*[connection.send(b"x" * event["size"]) for _ in range(event["count"])])
            case _:
                await connection.send(json.dumps({"type": "stub.heard", "event": event}))
