"""Passes a WebSocket to the backend that serves its model, such as `/v1/realtime`. `/v1/responses` is answered here."""

import asyncio
import logging
import os
from collections import Counter
from time import perf_counter_ns, time
from typing import Any

from litestar.types import Receive, Scope, Send
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Endpoint
from gateway.assembly.gateway import Gateway
from gateway.errors import LimitReached, NotFound, RequestError
from gateway.exchange import Exchange, Target
from gateway.ports import BackendSocket, Connectable, ExchangeOutcome, PassedRequest, Reply
from gateway.server.access import Access, presented_secret
from gateway.server.access_lines import line_of
from gateway.server.answer import ENDING, FAILED, AnswerHandler
from gateway.server.cors import Cors
from gateway.server.passing.headers import passed_on
from gateway.server.passing.ownership import check_path, check_references
from gateway.server.passing.paths import OWN, check_segments, mapped, parts_of
from gateway.server.passing.target import Targets, place, queried, renamed
from gateway.server.sockets.checks import MessageCheck
from gateway.server.sockets.handshake import check_origin, headers_of, passed_subprotocols
from gateway.server.sockets.relay import Relay
from gateway.server.sockets.responses import ResponsesSocket
from gateway.wire import close_codes, errors
from gateway.wire.close_codes import LOST, WENT_AWAY
from gateway.wire.references import REFERENCES

log = logging.getLogger("foreword.sockets")

NAMED = REFERENCES | {"call_id"}
"""The fields of a query that name an object of a key."""
OPENED, LEFT = 101, 499
RESPONSES = f"/v1/{Endpoint.RESPONSES}"


class SocketHandler:
    """The handler of WebSockets that pass through."""

    def __init__(self, gateway: Gateway, access: Access, responses: AnswerHandler) -> None:
        self._gateway = gateway
        self._access = access
        self._responses = responses
        self._cors = Cors(gateway.settings.server.allowed_origins)
        self._targets = Targets(gateway)
        self._most_bytes = gateway.settings.server.max_body_mb * 2**20
        self._open: Counter[str] = Counter()
        """The open WebSockets of each key."""
        self._under_way: dict[_SocketRun, asyncio.Task[Any]] = {}

    def cut(self) -> None:
        """End all WebSockets. Both sides are told."""
        for run, task in self._under_way.items():
            run.cut = True
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # tells only that the client wants a connection
        run = _SocketRun(self._gateway, send)
        task = asyncio.current_task()
        assert task is not None
        self._under_way[run] = task
        try:
            await self._answer(run, scope, receive)
        except RequestError as error:
            await run.refuse(error)
        except asyncio.CancelledError:
            if not run.cut:
                raise
            await run.end_both()
        except Exception:
            log.exception("the gateway itself failed", extra={"exchange": run.id})
            await run.refuse(FAILED)
        finally:
            del self._under_way[run]
            run.finish()

    async def _answer(self, run: "_SocketRun", scope: Any, receive: Receive) -> None:
        headers = headers_of(scope)
        check_origin(headers, self._cors)
        run.key = key = await self._access.admit(headers)
        line = line_of(scope)
        if line is not None:
            line.key, line.id = key.name, run.id
        if key.websockets and self._open[key.name] >= key.websockets:
            raise LimitReached(
                f"This key may have {key.websockets} WebSockets open at the same time.", retry_after_s=1.0
            )
        self._open[key.name] += 1
        try:
            if scope["path"] == RESPONSES and not mapped(self._gateway.settings.routing.paths, RESPONSES):
                await run.accept()
                await ResponsesSocket(self._responses, scope, headers, run.send).run(receive)
                return
            backend, request = await self._request(run, scope, presented_secret(headers))
            if line is not None:
                line.model, line.backend = run.model, backend
            offered = passed_subprotocols(scope["subprotocols"], presented_secret(headers))
            await run.relay(self._gateway.backends[backend], request, offered, receive, self._most_bytes)
        finally:
            self._open[key.name] -= 1

    async def _request(self, run: "_SocketRun", scope: Any, secret: bytes) -> tuple[str, PassedRequest]:
        """Return the backend, and the handshake that it gets. Raises a `RequestError`."""
        key, objects = run.key, self._gateway.objects
        parts = parts_of(scope["path"])
        if not scope["path"].startswith("/v1/") or parts.family in OWN:
            raise NotFound(f"{scope['path'][:100]!r} is no path of a WebSocket.", code="not_found")
        check_segments(scope["path"])
        owner = None if parts.is_stateless else await check_path(objects, key, parts)
        fields = queried(scope["query_string"])
        named = await check_references(objects, key, {value for name, value in fields if name in NAMED})
        run.model = next((value for name, value in fields if name == "model"), "")
        if sum(name == "model" for name, _ in fields) > 1:
            raise NotFound("The query names more than one model.", param="model", code="model_not_found")
        backend = mapped(self._gateway.settings.routing.paths, scope["path"])
        target = self._targets.of(key, parts, run.model, mapped=backend, owner=owner or named, must_name=True)
        run.ask, run.target = Ask(Endpoint.OTHER, run.model, b"", path=parts.shown), target
        where = place(scope["raw_path"], scope["query_string"], secret)
        if target.model != run.model:
            where = renamed(where, target.model)
        return target.backend, PassedRequest("GET", where, passed_on(scope["headers"], secret), model=target.model)


class _SocketRun:
    """The state of one WebSocket."""

    def __init__(self, gateway: Gateway, send: Send) -> None:
        self.id = "fw-" + os.urandom(12).hex()
        self.cut = False
        self.key = ClientKey.ANONYMOUS
        self.model = ""
        self.ask: Ask | None = None
        self.target: Target | None = None
        self._gateway = gateway
        self.send: Any = send
        self._socket: BackendSocket | None = None
        self._relay: Relay | None = None
        self._status, self._ending, self._error = 0, "finished", ""
        self._began, self._started_s = perf_counter_ns(), time()
        self._opened_us = 0
        gateway.in_flight += 1

    async def relay(
        self, backend: object, request: PassedRequest, offered: list[str], receive: Receive, most_bytes: int
    ) -> None:
        """Open the WebSocket at the backend, then the client's, and pass messages until one of them ends.

        If the backend refuses, the client gets its answer.
        """
        if not isinstance(backend, Connectable):
            raise NotFound("The backend of this path opens no WebSockets.")
        opened = await backend.connect(request, offered, most_bytes)
        if isinstance(opened, Reply):
            await self._pass_back(opened)
            return
        self._socket = opened
        try:
            await self.accept(opened.subprotocol)
            self._relay = Relay(receive, self.send, opened, MessageCheck(self._gateway, self.key))
            await self._relay.run()
        finally:
            if not self.cut:
                await opened.close(WENT_AWAY, "")

    async def accept(self, subprotocol: str = "") -> None:
        """Open the client's WebSocket."""
        self._status = OPENED
        await self.send({"type": "websocket.accept", "subprotocol": subprotocol or None, "headers": self._head()})
        self._opened_us = (perf_counter_ns() - self._began) // 1000

    async def refuse(self, error: RequestError) -> None:
        """Answer the handshake with an error, or end a connection that is open already."""
        self._ending, self._error = "failed", error.message
        if self._status == OPENED:
            await self.send({"type": "websocket.close", "code": close_codes.FAILED, "reason": ""})
            return
        self._status = error.status
        head = [(b"content-type", b"application/json"), *self._head()]
        if error.retry_after_s:
            head.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
        await self._deny(error.status, head, errors.envelope(error))

    async def end_both(self) -> None:
        """Tell both sides that the gateway ends."""
        self._ending, self._error = "failed", ENDING.message
        if self._status != OPENED:
            await self.refuse(ENDING)
            return
        await self.send({"type": "websocket.close", "code": WENT_AWAY, "reason": "The gateway is shutting down."})
        if self._socket is not None:
            await self._socket.close(WENT_AWAY, "")

    async def _pass_back(self, reply: Reply) -> None:
        self._status = reply.status
        await self._deny(reply.status, [*reply.headers, *self._head()], reply.body)

    async def _deny(self, status: int, head: list[tuple[bytes, bytes]], body: bytes) -> None:
        head.append((b"content-length", b"%d" % len(body)))
        await self.send({"type": "websocket.http.response.start", "status": status, "headers": head})
        await self.send({"type": "websocket.http.response.body", "body": body, "more_body": False})

    def _head(self) -> list[tuple[bytes, bytes]]:
        head = [(b"x-foreword-id", self.id.encode())]
        return [*head, (b"x-foreword-backend", self.target.backend.encode())] if self.target is not None else head

    def finish(self) -> None:
        """Count and record the WebSocket."""
        self._gateway.in_flight -= 1
        if self.ask is None:  # refused before its backend was known
            return
        exchange = Exchange(self.id, self.ask, self.key, started_s=self._started_s)
        if self.target is not None:
            exchange = replace(exchange, route=(self.target,))
        exchange = exchange.noted("path", "passed on", "WebSocket")
        relay = self._relay
        if relay is not None:
            exchange = exchange.noted("socket", f"ended by {relay.ended_by or 'gateway'}", *_figures(relay))
            if relay.ending.code == LOST and relay.ended_by:
                self._ending = "left" if relay.ended_by == "client" else "failed"
                self._error = "" if relay.ended_by == "client" else "The connection to the backend was lost."
        outcome = ExchangeOutcome(
            ending=self._ending,
            status=self._status or LEFT,
            backend=self.target.backend if self.target else "",
            model=self.target.model if self.target else "",
            content_type="application/json",
            body=relay.usage.body() if relay is not None else b"",
            error=self._error,
            first_byte_us=self._opened_us,
            total_us=(perf_counter_ns() - self._began) // 1000,
        )
        self._gateway.over(exchange, outcome)


def _figures(relay: Relay) -> tuple[str, dict[str, int]]:
    """Return the code with which a WebSocket ended, and what went through."""
    return f"code {relay.ending.code}" if relay.ended_by else "", {
        "messages_received": relay.received.messages,
        "size_received": relay.received.size,
        "messages_refused": relay.refused,
        "messages_sent": relay.sent.messages,
        "size_sent": relay.sent.size,
    }
