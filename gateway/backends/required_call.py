"""Raises an error if an answer lacks the tool call that `tool_choice` requires. This wrapper is put around every
backend.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from gateway.ask import Ask
from gateway.backends.responses import ModelSender
from gateway.errors import CallMissing
from gateway.exchange import Exchange
from gateway.ports import Headers, ModelCard, Reply
from gateway.wire.required_call import CallCheck, required_names
from gateway.wire.sse import data_in
from gateway.wire.stream_ends import end_at, mark_of
from gateway.wire.unpack import unpacked

MOST_READ = 64 * 1024 * 1024
TOO_SHORT = ("length", "incomplete", "max_tokens")


class RequiredCalls:
    """A backend whose answers are checked for required tool calls."""

    def __init__(self, backend: ModelSender) -> None:
        self._backend = backend

    def models(self) -> Sequence[ModelCard]:
        return self._backend.models()

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        """Send a request. Raises `CallMissing` if a whole answer lacks the required call. If the answer is a stream,
        the error is raised at the end of the stream.
        """
        names = required_names(exchange.ask)
        if not names:
            return await self._backend.send(exchange, model, headers)
        # the answer is read here, so it must not be compressed
        readable = tuple([header for header in headers if header[0] != b"accept-encoding"])
        reply = await self._backend.send(exchange, model, readable)
        if reply.status >= 300:
            return reply
        check = CallCheck(exchange.ask, names)
        if reply.pieces is not None:
            reply.pieces = _CheckedStream(reply.pieces, check, exchange.ask, reply.model)
            return reply
        encoding = dict(reply.headers).get(b"content-encoding", b"").decode("latin-1")
        check.read(unpacked(reply.body, encoding, MOST_READ))
        if not check.is_met:
            raise _missing(reply.model, check.finish)
        return reply


class _CheckedStream:
    """A stream that ends with an error in place of its end mark if the required call is missing.

    This is a class and not a generator, because `aclose` must always do its work. Closing a generator that was never
    started runs none of its code.
    """

    def __init__(self, pieces: AsyncIterator[bytes], check: CallCheck, ask: Ask, model: str) -> None:
        self._pieces = pieces
        self._check = check
        self._endpoint = ask.endpoint
        self._mark = mark_of(ask.endpoint)
        self._model = model
        self._failed = False

    def __aiter__(self) -> "_CheckedStream":
        return self

    async def __anext__(self) -> bytes:
        if self._failed:
            raise _missing(self._model, self._check.finish)
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            if self._check.is_met:
                raise
            raise _missing(self._model, self._check.finish) from None
        return piece if self._check.is_met else self._checked(piece)

    def _checked(self, piece: bytes) -> bytes:
        for data in data_in(piece):
            self._check.read(data)
        if self._check.is_met or self._mark not in piece:
            return piece
        end = end_at(piece, self._endpoint)
        if end < 0:
            return piece
        self._failed = True
        if not end:
            raise _missing(self._model, self._check.finish)
        return piece[:end]

    async def aclose(self) -> None:
        close: Any = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


def _missing(model: str, finish: str) -> CallMissing:
    remedy = "Use a model that obeys 'tool_choice', or allow text with 'auto'."
    if finish in TOO_SHORT:
        remedy = "It was cut off: allow a longer answer."
    reason = f" (it ended with {finish!r})" if finish else ""
    return CallMissing(
        f"The model {model!r} answered without the tool call that 'tool_choice' requires{reason}. {remedy}",
        param="tool_choice",
    )
