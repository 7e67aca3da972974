"""Makes the model calls that a technique needs, and separates the reasoning from the answer."""

import asyncio

from msgspec.structs import replace

from gateway.ask import Endpoint
from gateway.backends.as_events import as_events
from gateway.backends.call import Caller
from gateway.exchange import Exchange
from gateway.perform.draws import DrawRefused, Draws
from gateway.perform.pieces import composed_reply, perform_pieces
from gateway.ports import Completer, Headers, Reply
from gateway.wire.chat.reasoning import SplitStream, split_body


class Performer:
    """Answers an exchange with one plain call, or with several if its technique needs them."""

    def __init__(self, caller: Caller, completer: Completer, pieces_at_once: int = 4) -> None:
        """`pieces_at_once` limits how many pieces of long texts are processed at the same time. The limit applies to
        all requests together.
        """
        self._pieces_at_once = asyncio.Semaphore(pieces_at_once)
        self._caller = caller
        self._completer = completer

    async def __call__(self, exchange: Exchange, headers: Headers) -> tuple[Exchange, Reply]:
        """Return the exchange with new calls and notes, and the reply. Raises the errors of `Caller.call`."""
        if exchange.pieces is not None:
            return await perform_pieces(exchange, exchange.pieces, headers, self._caller, self._pieces_at_once)
        if exchange.composed:
            return exchange, composed_reply(exchange)
        procedure = exchange.procedure
        if procedure is None or not exchange.changed:
            return exchange, await self._caller.call(exchange, headers)
        if procedure.several and exchange.ask.choices == 1:
            exchange, reply = await self._settle(exchange, headers)
        else:
            if procedure.several:
                exchange = exchange.noted("technique", "one call", "the client wants several answers of its own")
            reply = await self._caller.call(exchange, headers)
        return exchange, _split(exchange, reply)

    async def _settle(self, exchange: Exchange, headers: Headers) -> tuple[Exchange, Reply]:
        assert exchange.procedure is not None
        draws = Draws(exchange, headers, self._caller, self._completer)
        try:
            settled = await exchange.procedure.settle(exchange, draws)
        except DrawRefused as refused:
            return replace(exchange, calls=(*exchange.calls, *draws.calls(chosen=0))), refused.reply
        exchange = replace(
            exchange,
            calls=(*exchange.calls, *draws.calls(settled.number)),
            notes=(*exchange.notes, *settled.notes),
        )
        return exchange, draws.replies[settled.number]


def _split(exchange: Exchange, reply: Reply) -> Reply:
    """Remove the reasoning from the reply. A whole body becomes a stream if the client asked for a stream."""
    procedure, ask = exchange.procedure, exchange.ask
    if reply.status >= 300 or procedure is None:
        return reply
    marker = procedure.marker if ask.endpoint is Endpoint.CHAT else ""
    if reply.pieces is not None:
        return replace(reply, pieces=SplitStream(reply.pieces, marker)) if marker else reply
    body = split_body(reply.body, marker) if marker else reply.body
    if not ask.stream:
        return replace(reply, body=body)
    return as_events(replace(reply, body=body), ask)
