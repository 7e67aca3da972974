"""Answers a request with tools of MCP servers. The gateway calls the tools that the model asks for, and asks the model
again with their results, within limits on rounds, calls and time.

A function of the client ends the loop, since the client must answer it. A failed call is a result like any other.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from gateway.backends.call import without_idempotency_key
from gateway.backends.responses import as_chat
from gateway.backends.routing.routes import AUTO
from gateway.backends.translated import EVENTS, JSON, translated_headers, uncompressed
from gateway.errors import BackendFailed, BadRequest, RequestError
from gateway.exchange import Exchange, Note
from gateway.mcp.servers import McpServers
from gateway.mcp_offer import McpOffer, McpResult, OfferedMcpTool
from gateway.perform.mcp.calls import McpCalls
from gateway.ports import Headers, Reply, is_encoded
from gateway.wire.chat import decode
from gateway.wire.chat.faults import untold
from gateway.wire.responses.answer import framed_events, head_of
from gateway.wire.responses.mcp import (
    Approval,
    approvals,
    call_limit,
    encode_response,
    input_items,
    known_lists,
    next_round,
)
from gateway.wire.responses.output import Event, McpCall
from gateway.wire.responses.rounds import ToolRounds
from gateway.wire.responses.search import shown

INCOMPLETE = ("length", "content_filter")
Perform = Callable[[Exchange, Headers], Awaitable[tuple[Exchange, Reply]]]


async def answer_with_tools(
    exchange: Exchange, offer: McpOffer, headers: Headers, perform: Perform, servers: McpServers
) -> tuple[Exchange, Reply]:
    """Return the exchange and the reply, a whole response or a stream. The first answer of the model is awaited here,
    so that a refusal is still a status.
    """
    loop = McpLoop(exchange, offer, headers, perform, servers)
    done, reply = await loop.begin()
    if reply.status >= 300:
        return done, reply
    notes = loop.take_notes(reply)
    if exchange.ask.stream:
        stream = McpStream(loop)
        return done, replace(
            reply, headers=translated_headers(reply, EVENTS), body=b"", pieces=stream, notes=notes, end=None
        )
    try:
        body = await loop.whole()
    finally:
        await loop.aclose()
    return done, replace(reply, headers=translated_headers(reply, JSON), body=body, pieces=None, notes=notes)


class McpLoop:
    """The state of one answer."""

    def __init__(
        self, exchange: Exchange, offer: McpOffer, headers: Headers, perform: Perform, servers: McpServers
    ) -> None:
        self._exchange = exchange
        self._offer = offer
        self._headers = uncompressed(headers)
        self._perform = perform
        self._chat = as_chat(exchange, exchange.route[0].model)
        self._calls = McpCalls(servers, exchange.key, call_limit(exchange.ask.raw))
        self._reply = Reply(200, ())
        self._rounds: ToolRounds
        self._first: list[Event] = []

    async def begin(self) -> tuple[Exchange, Reply]:
        """Make the calls that the client has approved, and ask the model for the first time."""
        items = input_items(self._exchange.ask.raw)
        early = [(each, self._tool_of(each)) for each in approvals(items)]
        results = await asyncio.gather(*[self._approved(each, tool) for each, tool in early])
        if early:
            calls = [
                (each.request, tool.function, each.arguments or "{}", result.said)
                for (each, tool), result in zip(early, results, strict=True)
            ]
            self._ask_again("", calls)
        done, reply = await self._perform(self._chat, self._headers)
        self._chat = replace(done, ask=self._chat.ask, turns=self._chat.turns)
        self._reply = reply
        done = replace(self._exchange, calls=done.calls, notes=done.notes)
        if reply.status >= 300:
            return done, reply
        exchange = self._exchange
        model = reply.model if exchange.ask.model in AUTO else exchange.ask.model
        head = head_of(exchange.id, exchange.ask, model, int(exchange.started_s))
        self._rounds = ToolRounds(head, shown(exchange), self._offer)
        build, known = self._rounds.build, known_lists(items)
        self._first = list(build.begin())
        for label in self._offer.labels:
            if label not in known:
                error = self._offer.failures.get(label, "")
                self._first += build.listed(label, self._offer.of(label), error)
        for (each, tool), result in zip(early, results, strict=True):
            if each.approves:
                self._first += build.approved(tool, each.arguments, each.request)
                call = build.calls[-1]
                assert isinstance(call, McpCall)
                call.result = result
                self._first += [*call.complete(), *build.called(call)]
        self._first += build.end_round()
        return done, reply

    def take_notes(self, reply: Reply) -> list[Note]:
        """Return the notes of the reply and of the calls so far, in a list that grows with each call."""
        self._calls.notes = [*reply.notes, *self._calls.notes]
        return self._calls.notes

    async def whole(self) -> bytes:
        """Run the loop, and return the response."""
        last: dict[str, Any] = {}
        async for events in self.events():
            for _, fields in events:
                last = fields.get("response", last)
        return encode_response(last)

    async def events(self) -> AsyncIterator[list[Event]]:
        """Run the loop. Raises the errors of the model's calls."""
        rounds = self._rounds
        yield self._first
        while True:
            rounds.begin()
            async for events in self._read():
                yield events
            calls = [call for call in rounds.build.calls if isinstance(call, McpCall)]
            if not calls or rounds.finish in INCOMPLETE:
                break
            yield [event for call in calls for event in call.complete()]
            results = await self._calls.run_all([(call.tool, call.text) for call in calls])
            for call, result in zip(calls, results, strict=True):
                call.result = result
            yield [event for call in calls for event in rounds.build.called(call)]
            if self._calls.are_over or len(calls) < len(rounds.build.calls):
                break
            self._calls.round += 1
            answered = [
                (call.id, call.tool.function, call.text or "{}", result.said)
                for call, result in zip(calls, results, strict=True)
            ]
            self._ask_again(rounds.said, answered)
            yield list(rounds.build.end_round())
            await self._reply.aclose()
            _, self._reply = await self._perform(self._chat, without_idempotency_key(self._headers))
            if self._reply.status >= 300:
                raise BackendFailed(f"The backend refused the results of the tools with {self._reply.status}.")
        yield list(rounds.end())

    def failed(self, error: RequestError) -> Event:
        return self._rounds.build.failed("server_error", error.message)

    async def aclose(self) -> None:
        await self._reply.aclose()

    async def _read(self) -> AsyncIterator[list[Event]]:
        reply = self._reply
        if reply.pieces is None:
            yield list(self._rounds.whole(reply.body))
            return
        if is_encoded(reply.headers):
            raise BackendFailed(f"The backend {reply.backend!r} compresses its streams, which cannot be translated.")
        async for piece in reply.pieces:
            yield list(self._rounds.feed(piece))
        self._rounds.end_stream()

    def _ask_again(self, said: str, calls: Sequence[tuple[str, str, str, str]]) -> None:
        raw = next_round(self._chat.ask.raw, said, list(calls), is_last=self._calls.are_over)
        read = decode.chat(raw, {})
        ask = replace(self._chat.ask, raw=raw, turns=read.turns)
        self._chat = replace(self._chat, ask=ask, turns=read.turns)

    def _tool_of(self, approval: Approval) -> OfferedMcpTool:
        """Return the tool of an approved call. Raises `BadRequest` if it is not offered."""
        for tool in self._offer.of(approval.label):
            if tool.tool.name == approval.name:
                return tool
        what = f"the input has no 'mcp_approval_request' {approval.request!r}, or its tool is not offered any more"
        raise BadRequest(f"Invalid 'approval_request_id': {what}.", param="input", code="invalid_value")

    async def _approved(self, approval: Approval, tool: OfferedMcpTool) -> McpResult:
        if approval.approves:
            return await self._calls.run(tool, approval.arguments)
        return McpResult(f"The user declined this call. {approval.reason}".strip())


class McpStream:
    """The stream of a response. A class, since closing a generator that was never started runs no code."""

    def __init__(self, loop: McpLoop) -> None:
        self._loop = loop
        self._events = loop.events()
        self._number = 0
        self._failure: RequestError | None = None

    def __aiter__(self) -> "McpStream":
        return self

    async def __anext__(self) -> bytes:
        framed = b""
        while not framed:
            if self._failure is not None:
                raise self._failure
            try:
                framed = self._framed(await anext(self._events))
            except RequestError as error:
                self._failure = untold(error)
                framed = self._framed([self._loop.failed(self._failure)])
        return framed

    async def aclose(self) -> None:
        await self._events.aclose()  # type: ignore[attr-defined]  # it is an async generator
        await self._loop.aclose()

    def _framed(self, events: Iterable[Event]) -> bytes:
        framed, self._number = framed_events(events, self._number)
        return framed
