"""Answers chat completions and `/v1/messages` with tools of MCP servers that the request names.

Each round is a request of the same API, so a backend that serves it gets its own form. A function of the client comes
first: the client must answer it, and the model may call the tools again after that.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from gateway.ask import Endpoint
from gateway.backends.call import without_idempotency_key
from gateway.backends.translated import EVENTS, JSON, translated_headers, uncompressed
from gateway.errors import BackendFailed
from gateway.exchange import Exchange, Note, Sampling
from gateway.mcp.servers import McpServers
from gateway.mcp_offer import McpOffer
from gateway.perform.mcp.calls import STAGE, McpCalls
from gateway.ports import Headers, Reply, is_encoded
from gateway.wire.chat import decode, encode
from gateway.wire.mcp.chat_rounds import ChatRounds
from gateway.wire.mcp.message_rounds import MessageRounds
from gateway.wire.mcp.rounds import AnswerRounds
from gateway.wire.messages import request as messages

Perform = Callable[[Exchange, Headers], Awaitable[tuple[Exchange, Reply]]]


async def answer_inline(
    exchange: Exchange, offer: McpOffer, headers: Headers, perform: Perform, servers: McpServers
) -> tuple[Exchange, Reply]:
    """Return the exchange and the reply. The first answer of the model is awaited here, so that a refusal is still a
    status.
    """
    loop = InlineLoop(exchange, offer, headers, perform, servers)
    done, reply = await loop.begin()
    if reply.status >= 300:
        return done, reply
    notes = loop.take_notes(reply)
    if reply.pieces is not None:
        pieces = InlineStream(loop)
        return done, replace(reply, headers=translated_headers(reply, EVENTS), pieces=pieces, notes=notes, end=None)
    body = await loop.whole()
    return done, replace(reply, headers=translated_headers(reply, JSON), body=body, notes=notes)


class InlineLoop:
    """The state of one answer."""

    def __init__(
        self, exchange: Exchange, offer: McpOffer, headers: Headers, perform: Perform, servers: McpServers
    ) -> None:
        self._exchange = exchange
        self._headers = uncompressed(headers)
        self._perform = perform
        self._calls = McpCalls(servers, exchange.key)
        is_chat = exchange.ask.endpoint is Endpoint.CHAT
        self._rounds: AnswerRounds = ChatRounds(offer) if is_chat else MessageRounds(offer)
        # what stages changed goes into the body, to which rounds are added; the length of the answer has another name
        # in each backend
        body = encode.body(replace(exchange, sampling=Sampling.NONE), exchange.ask.model)
        self._round = self._with(self._rounds.first(body, may_call=not self._calls.are_over))
        self._reply = Reply(200, ())
        self._was_last = False
        """Whether the model was told that it may call no more tools."""

    async def begin(self) -> tuple[Exchange, Reply]:
        """Ask the model for the first time."""
        done, self._reply = await self._perform(self._round, self._headers)
        return replace(self._exchange, calls=done.calls, notes=done.notes), self._reply

    def take_notes(self, reply: Reply) -> list[Note]:
        """Return the notes of the reply and of the calls, in a list that grows with each call."""
        self._calls.notes = [*reply.notes, *self._calls.notes]
        return self._calls.notes

    async def whole(self) -> bytes:
        """Run the loop, and return the whole answer."""
        self._rounds.whole(self._reply.body)
        while (results := await self._results()) is not None:
            self._rounds.told(results)
            await self._ask_again(results)
            self._rounds.whole(self._reply.body)
        return self._rounds.body()

    async def stream(self) -> AsyncIterator[bytes]:
        """Run the loop, and yield the stream."""
        while True:
            if self._reply.pieces is None or is_encoded(self._reply.headers):
                raise BackendFailed(f"The backend {self._reply.backend!r} sent no stream that can be read.")
            async for piece in self._reply.pieces:
                yield self._rounds.feed(piece)
            yield self._rounds.end_stream()
            results = await self._results()
            if results is None:
                break
            yield self._rounds.told(results)
            await self._ask_again(results)
        yield self._rounds.end()

    async def aclose(self) -> None:
        await self._reply.aclose()

    async def _results(self) -> list[Any] | None:
        """Make the calls of the round, or return None if there are none, or no further round may follow."""
        if self._rounds.postponed:
            text = f"{self._rounds.postponed} calls, since the client must answer its own function first"
            self._calls.notes.append(Note(STAGE, "postponed", text))
            return None
        if not self._rounds.calls or self._was_last:
            return None
        return await self._calls.run_all([(call.tool, call.arguments) for call in self._rounds.calls])

    async def _ask_again(self, results: list[Any]) -> None:
        self._calls.round += 1
        self._was_last = self._calls.are_over
        body = self._rounds.next(self._round.ask.raw, results, may_call=not self._was_last)
        self._round = self._with(body)
        await self._reply.aclose()
        _, self._reply = await self._perform(self._round, without_idempotency_key(self._headers))
        if self._reply.status >= 300:
            raise BackendFailed(f"The backend refused the results of the tools with {self._reply.status}.")

    def _with(self, body: bytes) -> Exchange:
        """Return the exchange with another body."""
        own = self._exchange
        read = decode.chat(body, {}) if own.ask.endpoint is Endpoint.CHAT else messages.ask(body, {})
        ask = replace(own.ask, raw=body, turns=read.turns, mcp=(), named=None, marked=False, may_require_call=True)
        sampling = own.sampling if own.changed else Sampling.NONE
        turns = read.turns if own.changed else None
        return replace(own, ask=ask, turns=turns, sampling=sampling, mcp=None)


class InlineStream:
    """The stream of an answer. A class, since closing a generator that was never started runs no code."""

    def __init__(self, loop: InlineLoop) -> None:
        self._loop = loop
        self._pieces = loop.stream()

    def __aiter__(self) -> "InlineStream":
        return self

    async def __anext__(self) -> bytes:
        piece = b""
        while not piece:
            piece = await anext(self._pieces)
        return piece

    async def aclose(self) -> None:
        await self._pieces.aclose()  # type: ignore[attr-defined]  # it is an async generator
        await self._loop.aclose()
