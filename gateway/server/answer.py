"""Answers a request: reads it, prepares it, calls the model, sends the reply, and records the exchange.

The handler is plain ASGI, not a Litestar handler. It needs no request object, validates the body only once, and sends
pieces as they arrive.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from time import perf_counter_ns, time
from typing import Any

from litestar.types import Receive, Scope, Send
from msgspec.structs import replace

from gateway.ask import Ask, Endpoint
from gateway.assembly.gateway import Gateway
from gateway.errors import BadRequest, RequestError, StreamFailed, TooBusy
from gateway.exchange import Exchange
from gateway.ports import ExchangeOutcome, Headers, Reply, is_encoded
from gateway.records.policy import is_recorded
from gateway.server.access import Access, single_headers
from gateway.server.access_lines import line_of
from gateway.server.additions import StreamAdditions
from gateway.server.body import read_body
from gateway.server.client_watch import ClientWatches
from gateway.server.headers import decisions
from gateway.server.passing.ownership import check_stored, may_refer
from gateway.server.transcript import Transcript
from gateway.telemetry.access_log import AccessLine
from gateway.wire import errors
from gateway.wire.chat import annotate
from gateway.wire.citations import note as cited
from gateway.wire.error_forms import as_event, body_of, last_event

log = logging.getLogger("foreword.answer")

Decode = Callable[[bytes, Mapping[bytes, bytes]], Ask]
# headers that are forwarded to a backend; the client's credentials never are
TRAVELLING = (
    b"traceparent",
    b"tracestate",
    b"baggage",
    b"idempotency-key",
    b"x-request-id",
    b"openai-beta",
    b"anthropic-beta",
    b"anthropic-version",
)
JSON = (b"content-type", b"application/json")
EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
WRONG_METHOD = 405
LEFT = 499
FAILED = RequestError("The gateway failed on this request. The gateway's log has the reason.")
ENDING = TooBusy(
    "The gateway is shutting down and could not finish this answer. Send the request again.", retry_after_s=1.0
)


class AnswerHandler:
    """The handler of one endpoint. After the answer, the handler keeps no data of the request."""

    def __init__(self, gateway: Gateway, access: Access, endpoint: Endpoint, decode: Decode) -> None:
        self._gateway = gateway
        self._endpoint = endpoint
        self._access = access
        self._decode = decode
        self._limit = gateway.settings.server.max_body_mb * 1024 * 1024
        self._has_keys = bool(gateway.settings.keys) and endpoint in (Endpoint.CHAT, Endpoint.RESPONSES)
        self._watches = ClientWatches()
        self._under_way: dict[_AnswerRun, asyncio.Task[Any]] = {}

    def cut(self) -> None:
        """Stop all running answers with an error, which is sent to the clients and recorded."""
        for run, task in self._under_way.items():
            run.cut = True
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = line_of(scope)
        run = _AnswerRun(self._gateway, send, line)
        headers: Mapping[bytes, bytes] = {}
        try:
            headers = single_headers(scope)
            key = await self._access.admit(headers)
            if line is not None:
                line.key = key.name
            if scope["method"] != "POST":  # type: ignore[typeddict-item]  # an HTTP scope has a method
                raise wrong_method(str(scope["method"]))  # type: ignore[typeddict-item]
            raw = await read_body(receive, headers, self._limit)
            ask = self._decode(raw, headers)
            if scope["query_string"] and self._endpoint.is_anthropic:
                ask = replace(ask, query_string=scope["query_string"])
            if self._has_keys and not key.admin and may_refer(raw):
                await check_stored(self._gateway.objects, key, raw)
        except RequestError as error:
            await refuse(send, error, run.id, self._endpoint)
            return
        except Exception:
            log.exception("a request could not be read", extra={"exchange": run.id})
            await refuse(send, FAILED, run.id, self._endpoint)
            return
        exchange = Exchange(run.id, ask, key, started_s=time(), tell=run.tell if ask.stream else None)
        task = asyncio.current_task()
        assert task is not None
        watch = self._watches.begin(receive, run, task)
        self._under_way[run] = task
        try:
            await run.answer(exchange, headers)
        finally:
            del self._under_way[run]
            watch.end()


class _AnswerRun:
    """The state of one request while it is answered."""

    def __init__(self, gateway: Gateway, send: Send, line: AccessLine | None) -> None:
        """`line` of the access log gets the facts about the exchange."""
        self.id = "fw-" + os.urandom(12).hex()
        self._line = line
        if line is not None:
            line.id = self.id
        self.left = False
        self.cut = False
        self._gateway = gateway
        self._send = send
        self._began = perf_counter_ns()
        self._started = False
        self._progress_sent = False
        self._first_byte_us = 0
        self._transcript = Transcript(0)
        self._whole = False
        self._last = b""
        self._reply: Reply | None = None
        self._exchange: Exchange
        self._headers: Mapping[bytes, bytes]
        self._is_recorded = False
        self._is_over = False

    async def answer(self, exchange: Exchange, headers: Mapping[bytes, bytes]) -> None:
        """Answer the request, and record the exchange before the last bytes of the answer are sent.

        A client that has its whole answer can thus rely on the record, even if the gateway is killed right after.
        """
        gateway = self._gateway
        gateway.in_flight += 1
        self._exchange, self._headers = exchange, headers
        self._is_recorded = gateway.keeping is not None and is_recorded(exchange.key, gateway.settings.records.policy)
        most = gateway.settings.records.max_answer_kb * 1024
        self._transcript = Transcript(most if self._is_recorded or self._line is not None else 0)
        if self._line is not None:
            self._line.model = exchange.ask.model
        try:
            self._exchange = exchange = await gateway.prepare(exchange)
            self._exchange, self._reply = await gateway.perform(exchange, _travelling(headers))
            if self._exchange.chunks and not self._is_recorded:
                # the whole answer is needed to compare its citations with the sources
                self._transcript = Transcript(most)
            await self._pass_on(self._exchange, self._reply)
        except StreamFailed as error:
            self._record("failed", error.message)
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        except RequestError as error:
            if error.calls:
                self._exchange = replace(self._exchange, calls=(*self._exchange.calls, *error.calls))
            await self._fail(error)
        except asyncio.CancelledError:
            if self.cut and not self.left and not self._whole:
                await self._fail(ENDING)
                return
            if not self.left:
                raise
        except Exception as error:
            log.exception("the gateway itself failed", extra={"exchange": self.id})
            await self._fail(FAILED, type(error).__name__)
        finally:
            gateway.in_flight -= 1
            try:
                if self._reply is not None and self._reply.pieces is not None:
                    await self._reply.aclose()
            finally:
                # does nothing for an answer that was sent to its end
                self._record("left", "", LEFT)

    async def tell(self, what: str) -> None:
        """Send a comment on the stream.

        The first comment starts the stream, so a later refusal can only be sent as an event.
        """
        if not self._started:
            await self._start(200, [EVENT_STREAM, (b"x-foreword-id", self.id.encode())])
        self._progress_sent = True
        await self._send({"type": "http.response.body", "body": errors.comment(what), "more_body": True})

    async def _pass_on(self, exchange: Exchange, reply: Reply) -> None:
        if self._progress_sent and reply.pieces is None:
            # the first comment has sent the status, so the refusal is sent as an event
            reply = replace(reply, pieces=_once(as_event(reply.body, exchange.ask.endpoint)))
        packed = is_encoded(reply.headers)
        if exchange.chunks and reply.pieces is None and reply.status < 300 and not packed:
            reply.notes.append(cited.note(len(exchange.chunks), reply.body))
        late_notes = () if reply.pieces is not None else reply.notes
        is_account_due = exchange.ask.controls.account and reply.status < 300 and not packed
        extra = annotate.account(exchange, late_notes) if is_account_due else b""
        head = [*reply.headers, *decisions(exchange, reply)]
        if reply.pieces is not None:
            await self._stream(exchange, reply, reply.pieces, head, extra)
            return
        body = annotate.body(reply.body, extra) if extra else reply.body
        head.append((b"content-length", str(len(body)).encode()))
        await self._start(reply.status, head)
        self._transcript.add(body)
        # from here on the server has the whole answer, and sends it even if the gateway shuts down
        self._whole = True
        self._record("finished", "")
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _stream(
        self,
        exchange: Exchange,
        reply: Reply,
        pieces: AsyncIterator[bytes],
        head: list[tuple[bytes, bytes]],
        extra: bytes,
    ) -> None:
        send, transcript = self._send, self._transcript
        choice = exchange.ask.controls.closing_event
        closing = self._gateway.settings.server.closing_event if choice is None else choice
        closing = closing and exchange.ask.controls.account
        additions = StreamAdditions(exchange, reply, extra, transcript.pieces, closing=closing)
        mark, end = additions.mark, reply.end
        if not self._started:
            await self._start(reply.status, head)
        async for piece in pieces:
            # `end` is set if the stream's check has already searched for the mark; searching again takes 0.5 us, or 2
            # us for `/v1/responses`
            if additions.account or (mark in piece if end is None else end.is_reached):
                piece = additions.add(piece)
                self._whole = additions.is_over
            transcript.add(piece)
            if self._whole and not (end and end.has_fault):
                self._record("finished", "")
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            self._last = piece
        last = additions.end()
        transcript.add(last)
        self._record("finished", "")
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _start(self, status: int, head: list[tuple[bytes, bytes]]) -> None:
        self._first_byte_us = (perf_counter_ns() - self._began) // 1000
        self._started = True
        await self._send({"type": "http.response.start", "status": status, "headers": head})

    async def _fail(self, error: RequestError, reason: str = "") -> None:
        """Record the failure and tell the client. `reason` stands in the record instead of the error's message."""
        endpoint, reason = self._exchange.ask.endpoint, reason or error.message
        if not self._started:
            self._record("failed", reason, error.status)
            await refuse(self._send, error, self.id, endpoint)
            return
        # the status was sent, so the failure becomes an event; without [DONE], no client takes the answer for complete
        if self._reply is not None and is_encoded(self._reply.headers):
            self._record("failed", reason, error.status)
            return  # no event can be added, so the server closes the connection, which tells the client
        last = last_event(error, endpoint, self.id, self._last)
        self._transcript.add(last)
        self._record("failed", reason, error.status)
        await self._send({"type": "http.response.body", "body": last, "more_body": False})

    def _record(self, ending: str, error: str, status: int = 0) -> None:
        """Record the exchange. Only the first call has an effect. `status` is for an exchange without a reply."""
        if self._is_over:
            return
        self._is_over = True
        exchange, reply = self._exchange, self._reply
        if reply is not None and reply.notes:
            exchange = replace(exchange, notes=(*exchange.notes, *reply.notes))
        if self._is_recorded and self._transcript.cut:
            exchange = exchange.noted("record", "truncated", "the answer is longer than [records] max_answer_kb")
        headers_of_reply = dict(reply.headers) if reply else {}
        outcome = ExchangeOutcome(
            ending=ending,
            status=(reply.status if reply else 0) or status,
            backend=reply.backend if reply else "",
            model=reply.model if reply else "",
            content_type=headers_of_reply.get(b"content-type", b"").decode("latin-1"),
            content_encoding=headers_of_reply.get(b"content-encoding", b"").decode("latin-1"),
            body=self._transcript.whole(),
            error=error,
            first_byte_us=self._first_byte_us,
            total_us=(perf_counter_ns() - self._began) // 1000,
        )
        if self._line is not None:
            line = self._line
            line.backend, line.upstream, line.ending = outcome.backend, outcome.model, ending
            line.status = LEFT if ending == "left" else 0
            line.count(outcome.body)
        self._gateway.over(exchange, outcome, self._headers.get(b"traceparent", b"").decode("latin-1"))


async def refuse(send: Send, error: RequestError, exchange_id: str, endpoint: Endpoint) -> None:
    body = body_of(error, endpoint, exchange_id)
    head = [JSON, (b"content-length", str(len(body)).encode()), (b"x-foreword-id", exchange_id.encode())]
    if error.status == WRONG_METHOD:
        head.append((b"allow", b"POST"))
    if error.retry_after_s:
        head.append((b"retry-after", str(max(1, round(error.retry_after_s))).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _once(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


def _travelling(headers: Mapping[bytes, bytes]) -> Headers:
    names = [] if headers.keys().isdisjoint(TRAVELLING) else TRAVELLING
    travelling = [(name, headers[name]) for name in names if name in headers]
    # accept only encodings that the records can read
    if b"gzip" in headers.get(b"accept-encoding", b""):
        travelling.append((b"accept-encoding", b"gzip"))
    return tuple(travelling)


def wrong_method(method: str, why: str = "") -> RequestError:
    """Return a 405 for any method other than POST."""
    text = f"Method {method} is not allowed here; use POST. {why}".rstrip()
    error = BadRequest(text, code="method_not_allowed")
    error.status = WRONG_METHOD
    return error
