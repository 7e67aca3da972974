"""Decides whether an upstream's answer is an error. The status is not enough: an error can have the status 200.

An error that comes before any content is raised, so that another deployment can answer.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import NoReturn, Protocol

import msgspec
from msgspec import Raw

from gateway.ask import Endpoint
from gateway.backends.http1 import Broken, Empty, UpstreamFault
from gateway.errors import BackendFailed, BackendTimeout, RequestError, StreamFailed
from gateway.exchange import Exchange
from gateway.ports import StreamEnd
from gateway.wire.chat.completion import CompletionFault, loose_json
from gateway.wire.chat.faults import fault_of, raised
from gateway.wire.sse import EventCutter
from gateway.wire.stream_ends import StreamStart, end_at, fault_in, mark_of, start_of
from gateway.wire.unpack import unpacked

MOST_CHECKED = 1024 * 1024
"""The maximum length of a body that is parsed to check that it is JSON. In a longer body, only the first and last bytes
are checked.
"""
MOST_UNPACKED = 64 * 1024
HELD_S = 1.0
"""The maximum time for which chunks without content are held back. While they are held back, another backend can still
answer if an error follows.
"""
TELL_AFTER_S = 10.0
"""If the upstream has sent only comments for this long, the gateway passes a comment to the client for each further
comment, so that the client keeps waiting.
"""
BROKE_OFF = "broke off in the middle of its stream"
_FIRST_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*(?:data|event|id|retry)?:")
_LONGEST_NAME = 12
_json = msgspec.json.Decoder(Raw)

FailureOf = Callable[..., RequestError]
"""Makes the error for the client from the connection's error, a message and an error code."""


class PieceSource(Protocol):
    """The part of an upstream's answer that `JudgedStream` uses."""

    def piece(self) -> Awaitable[bytes]: ...

    def close(self) -> None: ...


class JudgedStream:
    """Yields an upstream's stream in pieces of whole events, and checks that the stream ends properly.

    This is a class and not a generator, because `aclose` must always do its work. Closing a generator that was never
    started runs none of its code.
    """

    def __init__(
        self,
        first: bytes,
        answer: PieceSource,
        endpoint: Endpoint,
        failure: FailureOf,
        *,
        marked: bool,
        end: StreamEnd | None = None,
    ) -> None:
        """`first` holds the bytes that were already read. With `marked`, a stream without its end mark counts as
        broken. `end` records whether the end mark has arrived.
        """
        self._unread = first
        self._answer = answer
        self._endpoint = endpoint
        self._failure = failure
        self._marked = marked
        self._mark = mark_of(endpoint)
        self._cutter = EventCutter()
        self._first = b""
        self._end = StreamEnd() if end is None else end
        self._over = False
        self._fault: CompletionFault | None = None

    def __aiter__(self) -> "JudgedStream":
        return self

    async def __anext__(self) -> bytes:
        piece, self._first = self._first, b""
        while not piece:
            if self._over:
                self._finish()
            try:
                piece = await self._answer.piece()
            except UpstreamFault as error:
                self._broke(error, BROKE_OFF, "stream_cut")
            # most pieces are whole events without the end mark; two searches are enough to see this
            if self._cutter.waiting or piece[-2:] != b"\n\n":
                piece = self._cut(piece)
            if b"error" in piece or self._mark in piece:
                self._look_at(piece)
        return piece

    async def begin(self, waits: Callable[[], Awaitable[None]], longest_s: float) -> None:
        """Read up to the first content. Calls `waits` after each piece that holds only comments.

        Raises an error that comes before any content, and `BackendTimeout` after `longest_s` with only comments. Chunks
        without content, such as the chunk with the role, are held back for at most `HELD_S`.
        """
        try:
            await self._begin(waits, longest_s)
        except BaseException:
            self._answer.close()
            raise

    async def aclose(self) -> None:
        self._answer.close()

    async def _begin(self, waits: Callable[[], Awaitable[None]], longest_s: float) -> None:
        began = monotonic()
        while not (start := await self._start()).has_chunk:
            if self._over or self._end.is_reached:
                raise self._failure(Empty(), "ended its stream before the first event")
            if monotonic() - began > longest_s:
                raise BackendTimeout(f"The backend sent nothing but comments for {longest_s:g} s.")
            await waits()
        if not start.has_content:
            with suppress(TimeoutError):
                async with asyncio.timeout(HELD_S):
                    await self._hold()

    async def _hold(self) -> None:
        while not (self._over or self._end.is_reached or (await self._start()).has_content):
            pass

    async def _start(self) -> StreamStart:
        """Read the next piece and classify the start of the stream. Raises the error if the stream starts with one."""
        piece, self._unread = self._unread, b""
        try:
            piece = self._cut(piece or await self._answer.piece())
        except UpstreamFault as error:
            self._broke(error, "broke off before the first event", None)
        self._look_at(piece)
        self._first += piece
        start = start_of(self._first, self._endpoint)
        if start.fault is not None:
            raise raised(start.fault)
        return start

    def _cut(self, piece: bytes) -> bytes:
        """Add a piece and return the events that are now complete, or b"". An empty piece ends the stream."""
        return self._cutter.feed(piece) if piece else self._rest()

    def _broke(self, error: Exception, what: str, code: str | None) -> None:
        """Raise an error for the client. If the end mark has arrived, the answer is complete and no error is raised."""
        self._answer.close()
        if not self._end.is_reached:
            raise self._failure(error, what, code) from error

    def _rest(self) -> bytes:
        """Return the last event if only its closing empty line is missing. An incomplete event is dropped, since no
        client can read it.
        """
        self._over = True
        rest = self._cutter.rest()
        if fault_in(rest, self._endpoint) is not None:
            return rest + b"\n\n"  # adds the missing empty line, so that every client reads the event
        return rest if not self._marked or end_at(rest, self._endpoint) >= 0 else b""

    def _look_at(self, events: bytes) -> None:
        if not self._end.is_reached and end_at(events, self._endpoint) >= 0:
            self._end.is_reached = True
        if self._fault is None:
            self._fault = fault_in(events, self._endpoint)
            self._end.has_fault = self._fault is not None

    def _finish(self) -> NoReturn:
        self._answer.close()
        if self._fault is not None:
            raise StreamFailed(raised(self._fault).message)
        if self._marked and not self._end.is_reached:
            raise self._failure(Broken(), "ended its stream without its end mark", "stream_cut")
        raise StopAsyncIteration


async def first_bytes(answer: PieceSource) -> bytes:
    """Read enough bytes of a body to tell a stream from JSON."""
    first = await answer.piece()
    while 0 < len(first) < _LONGEST_NAME and (more := await answer.piece()):
        first += more
    return first


def is_stream(first: bytes) -> bool:
    """Whether a body begins like a stream of events. The media type is not used, since it can be wrong."""
    return _FIRST_FIELD.match(first) is not None


def keep_waiting(exchange: Exchange) -> Callable[[], Awaitable[None]]:
    """Return a callback that tells a streaming client to keep waiting.

    The callback sends a comment at each call, but none within the first `TELL_AFTER_S` seconds.
    """
    tell, began = exchange.tell, monotonic()

    async def waits() -> None:
        if tell is not None and monotonic() - began > TELL_AFTER_S:
            await tell("waiting for the model")

    return waits


def check_body(body: bytes, encoding: str, backend: str, status: int) -> None:
    """Check the body of a successful answer. Raises the error that the body reports, or `BackendFailed` if the body is
    no JSON object.
    """
    if encoding:
        plain = unpacked(body, encoding, MOST_UNPACKED)
        if not plain or (len(plain) == MOST_UNPACKED and plain.lstrip()[:1] == b"{"):
            return
        body = plain
    if not _is_object(body):
        raise BackendFailed(
            f"The backend {backend!r} answered with status {status} and "
            f"{'a body that is not a JSON object' if body.strip() else 'an empty body'}.",
            code="not_an_api",
        )
    fault = fault_of(body)
    if fault is not None and not answers_otherwise(body):
        raise raised(fault)


def answers_otherwise(body: bytes) -> bool:
    """Whether a body holds an answer that is not a completion, such as embeddings."""
    fields = loose_json(body)
    return isinstance(fields, dict) and (bool(fields.get("output")) or bool(fields.get("data")))


def _is_object(body: bytes) -> bool:
    inner = body.strip()
    if len(inner) > MOST_CHECKED:
        return inner[:1] == b"{" and inner[-1:] == b"}"
    try:
        _json.decode(inner)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return isinstance(loose_json(inner), dict)
    return inner[:1] == b"{"
