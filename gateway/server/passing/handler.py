"""Passes a request for any other path below /v1 to a backend, and the answer to the client. Bytes stay unchanged."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from time import perf_counter_ns, time
from typing import Any

from litestar.types import Receive, Scope, Send
from msgspec import Struct
from msgspec.structs import replace
from multipart import parse_options_header

from gateway.ask import Ask, ClientKey, Endpoint
from gateway.assembly.gateway import Gateway
from gateway.backends.calling.retry import Retries, is_failure
from gateway.backends.routing.routes import check_model
from gateway.errors import BackendFailed, BadRequest, KeyNotAllowed, RequestError
from gateway.exchange import Exchange, Target
from gateway.ports import ExchangeOutcome, Passable, PassedRequest, Reply
from gateway.records.object_owners import ObjectOwner
from gateway.records.policy import is_recorded
from gateway.server.access import Access, presented_secret, single_headers
from gateway.server.access_lines import line_of
from gateway.server.answer import ENDING, FAILED, refuse
from gateway.server.body import read_body
from gateway.server.client_watch import ClientWatches
from gateway.server.passing.answers import StoredAnswers
from gateway.server.passing.body import FormBody, FormFields, pieces_of, whole_again
from gateway.server.passing.headers import passed_on
from gateway.server.passing.ownership import check_path, check_references
from gateway.server.passing.paths import UNNAMED, PathParts, check_segments, mapped, parts_of
from gateway.server.passing.target import Targets, place, queried
from gateway.server.transcript import Transcript
from gateway.wire import references
from gateway.wire.chat import encode

log = logging.getLogger("foreword.passing")

LARGE = 64 * 1024
"""A JSON body of this size in bytes, or more, is read on a worker thread."""
IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"))
TEXTS = (b"application/json", b"text/")
UNCHECKED = ("application/x-www-form-urlencoded", "multipart/")
"""The types of bodies that may name objects, and that are not read here."""


class _ReadRequest(Struct):
    """A request whose head and beginning are read. `owner` is the owner of an object that the request names."""

    model: str = ""
    raw: bytes = b""
    form: FormBody | None = None
    incoming: AsyncIterator[bytes] | None = None
    size: int = -1
    owner: ObjectOwner | None = None


class PassingHandler:
    """The handler of all paths that pass through."""

    def __init__(self, gateway: Gateway, access: Access) -> None:
        server, routing = gateway.settings.server, gateway.settings.routing
        self._gateway = gateway
        self._access = access
        self._json_limit = server.max_body_mb * 2**20
        self._limit = max(server.max_body_mb, gateway.settings.context.max_file_mb) * 2**20
        self._targets = Targets(gateway)
        self._retries = Retries(routing.retries, routing.retry_wait_s, routing.retry_share)
        self._watches = ClientWatches()
        self._under_way: dict[_PassingRun, asyncio.Task[Any]] = {}

    @property
    def has_backend(self) -> bool:
        """Whether any request can pass through, because some backend has further paths."""
        return any(isinstance(backend, Passable) for backend in self._gateway.backends.values())

    def cut(self) -> None:
        """Stop all running requests. An answer that has begun is broken off."""
        for run, task in self._under_way.items():
            run.cut = True
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        run = _PassingRun(self._gateway, send, _method(scope))
        task = asyncio.current_task()
        assert task is not None
        self._under_way[run] = task
        try:
            await self._answer(run, scope, receive)
        finally:
            del self._under_way[run]
            run.finish()

    async def _answer(self, run: "_PassingRun", scope: Scope, receive: Receive) -> None:
        read = _ReadRequest()
        watch = None
        try:
            headers = single_headers(scope)
            run.key = key = await self._access.admit(headers)
            if (line := line_of(scope)) is not None:
                line.key = key.name
            parts = parts_of(scope["path"])
            run.path = parts.shown
            if _method(scope) not in METHODS:
                raise BadRequest(f"The method {_method(scope)} is not supported.", code="method_not_allowed")
            check_segments(scope["path"])
            objects = self._gateway.objects
            owner = None if parts.is_stateless else await check_path(objects, key, parts)
            fields = queried(scope["query_string"])
            await check_references(objects, key, {value for name, value in fields if name in references.REFERENCES})
            backend = mapped(self._gateway.settings.routing.paths, scope["path"])
            needs_model = not backend and owner is None and parts.family not in UNNAMED
            _check_type(scope)
            read = await self._read(run, receive, headers, parts, needs_model=needs_model)
            target = self._target(parts, read, backend, owner or read.owner, key)
            run.ask = Ask(Endpoint.OTHER, read.model, read.raw, path=parts.shown)
            run.target = target
            if line is not None:
                line.model = read.model
            request = self._request(scope, headers, read, target, key)
            if read.incoming is None and read.form is None:
                watch = self._watches.begin(receive, run, asyncio.current_task())  # type: ignore[arg-type]
            sender = self._gateway.backends[target.backend]
            assert isinstance(sender, Passable)
            reply = await self._send(sender, request)
            if watch is None:
                watch = self._watches.begin(receive, run, asyncio.current_task())  # type: ignore[arg-type]
            if not parts.is_stateless:
                most = 64 * 2**20
                reply = await StoredAnswers(objects, key, parts, most).read(reply, request, sender.pass_on)
            await run.pass_back(reply)
        except RequestError as error:
            await run.fail(error)
        except asyncio.CancelledError:
            if run.cut and not run.left:
                await run.fail(ENDING)
                return
            run.ending = "left"
            if not run.left:
                raise
        except Exception:
            log.exception("the gateway itself failed", extra={"exchange": run.id})
            await run.fail(FAILED)
        finally:
            if watch is not None:
                watch.end()
            if read.form is not None:
                read.form.close()
            if run.reply is not None:
                await run.reply.aclose()

    async def _read(
        self,
        run: "_PassingRun",
        receive: Receive,
        headers: Mapping[bytes, bytes],
        parts: PathParts,
        *,
        needs_model: bool,
    ) -> _ReadRequest:
        """Read as much of the body as is needed to check the request and to find its model."""
        key = run.key
        is_free = key.admin and not needs_model  # nothing has to be checked or found
        announced = headers.get(b"content-length", b"")
        size = int(announced) if announced.isdigit() else -1
        if not announced and b"transfer-encoding" not in headers:
            # no body, or one that was decompressed
            raw = await read_body(receive, headers, self._limit)
            if not raw:
                return _ReadRequest(size=0)
            receive, size = whole_again(raw), len(raw)
        kind, options = parse_options_header(headers.get(b"content-type", b"").decode("latin-1"))
        if size > self._limit:
            await read_body(receive, headers, self._limit)  # raises
        if kind == "multipart/form-data" and options.get("boundary"):
            incoming = pieces_of(receive, self._limit)
            if is_free:
                return _ReadRequest(incoming=incoming, size=size)
            return await self._form(key, incoming, options["boundary"], size, needs_model=needs_model)
        if kind and "json" not in kind and (key.admin or parts.is_stateless):
            return _ReadRequest(incoming=pieces_of(receive, self._limit), size=size)
        if is_free:
            return _ReadRequest(incoming=pieces_of(receive, self._json_limit), size=size)
        raw = await read_body(receive, headers, self._json_limit)
        is_json = not kind or "json" in kind
        # some servers read JSON whatever its type is
        read = references.loose if is_json else references.loose_in_any_encoding
        value = await asyncio.to_thread(read, raw) if len(raw) > LARGE else read(raw)
        if raw and value is None and not key.admin:
            if is_json:
                raise BadRequest("The body of the request is not valid JSON.", code="invalid_json")
            if kind.startswith(UNCHECKED):
                raise BadRequest(f"A body of the type {kind[:100]!r} cannot be checked. Send JSON.")
        model = value.get("model") if isinstance(value, dict) else None
        names = references.models(value) if key.models else []
        for name in names:
            check_model(self._gateway.routes, key, name, Endpoint.OTHER)
        owner = await check_references(self._gateway.objects, key, references.references(value))
        return _ReadRequest(model if isinstance(model, str) else "", raw, size=len(raw), owner=owner)

    async def _form(
        self, key: ClientKey, incoming: AsyncIterator[bytes], boundary: str, size: int, *, needs_model: bool
    ) -> _ReadRequest:
        """Read a form until its model is known. If the model does not matter, nothing is read ahead."""
        named: set[str] = set()
        passes = False

        def check(name: str, value: str) -> None:
            if name.removesuffix("[]") not in references.REFERENCES or key.admin:
                return
            if passes:  # the bytes before this field have reached the backend already
                raise BadRequest(f"The field {name!r} must come before 'model' and before any file.", param=name)
            named.add(value)

        form = FormBody(incoming, FormFields(boundary, check))
        read = _ReadRequest(form=form, size=size)
        try:
            if needs_model or key.models:
                read.model = await form.model()
            read.owner = await check_references(self._gateway.objects, key, named)
        except BaseException:
            form.close()
            raise
        passes = True
        return read

    def _target(
        self, parts: PathParts, read: _ReadRequest, backend: str, owner: ObjectOwner | None, key: ClientKey
    ) -> Target:
        has_body = bool(read.raw or read.form or read.incoming)
        target = self._targets.of(key, parts, read.model, mapped=backend, owner=owner, must_name=has_body)
        if key.models and parts.family == "batches" and read.raw:
            raise KeyNotAllowed("This key may use some models only, and the models of a batch cannot be checked here.")
        return target

    def _request(
        self, scope: Scope, headers: Mapping[bytes, bytes], read: _ReadRequest, target: Target, key: ClientKey
    ) -> PassedRequest:
        secret = presented_secret(headers)
        where = place(scope["raw_path"], scope["query_string"], secret)
        request = PassedRequest(_method(scope), where, passed_on(scope["headers"], secret), model=target.model)
        if read.incoming is not None:
            return replace(request, body=read.incoming, size=read.size)
        if read.form is not None:
            size = read.size + len(target.model.encode()) - len(read.model.encode()) if read.size >= 0 else -1
            return replace(request, body=read.form.pieces(read.model, target.model), size=size)
        body = read.raw
        if read.model and (target.model != read.model or key.models):
            ask = Ask(Endpoint.OTHER, read.model, read.raw)
            body = encode.body(Exchange("", ask, key), target.model)
        return replace(request, body=body, size=len(body))

    async def _send(self, backend: Passable, request: PassedRequest) -> Reply:
        """Send the request, and send it again as `[routing] retries` allows if this cannot do the work twice."""
        self._retries.earn()
        number = 0
        while True:
            outcome: Reply | RequestError
            try:
                reply = outcome = await backend.pass_on(request)
                if not is_failure(reply.status):
                    return reply
            except BackendFailed as error:
                outcome = error
            may_repeat = isinstance(request.body, bytes) and request.method in IDEMPOTENT
            wait_s = self._retries.wait_s(number, outcome) if may_repeat else None
            if wait_s is None:
                if isinstance(outcome, RequestError):
                    raise outcome
                return outcome
            if isinstance(outcome, Reply):
                await outcome.aclose()
            await asyncio.sleep(wait_s)
            number += 1


class _PassingRun:
    """The state of one request that passes through."""

    def __init__(self, gateway: Gateway, send: Send, method: str) -> None:
        self.id = "fw-" + os.urandom(12).hex()
        self.left = self.cut = False
        self.key = ClientKey.ANONYMOUS
        self.path = ""
        self.ask: Ask | None = None
        self.target: Target | None = None
        self.reply: Reply | None = None
        self.ending, self.error, self.status = "finished", "", 0
        self._method = method
        self._gateway = gateway
        self._send = send
        self._began = perf_counter_ns()
        self._started_s = time()
        self._first_byte_us = 0
        self._transcript = Transcript(0)
        gateway.in_flight += 1

    async def pass_back(self, reply: Reply) -> None:
        """Send the reply to the client, piece by piece."""
        self.reply, self.status = reply, reply.status
        kind = next((value for name, value in reply.headers if name == b"content-type"), b"").lower()
        records = self._gateway.settings.records
        if kind.startswith(TEXTS) and is_recorded(self.key, records.policy):
            self._transcript = Transcript(records.max_answer_kb * 1024)
        head = [*reply.headers, (b"x-foreword-id", self.id.encode()), (b"x-foreword-backend", reply.backend.encode())]
        self._first_byte_us = (perf_counter_ns() - self._began) // 1000
        if reply.pieces is None:
            head.append((b"content-length", b"%d" % len(reply.body)))
            await self._send({"type": "http.response.start", "status": reply.status, "headers": head})
            self._transcript.add(reply.body)
            await self._send({"type": "http.response.body", "body": reply.body, "more_body": False})
            return
        await self._send({"type": "http.response.start", "status": reply.status, "headers": head})
        async for piece in reply.pieces:
            self._transcript.add(piece)
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def fail(self, error: RequestError) -> None:
        """Send an error. An answer that has begun is broken off, since its form is unknown."""
        self.ending, self.error = "failed", error.message
        if self.reply is None:
            self.status = error.status
            await refuse(self._send, error, self.id, Endpoint.OTHER)

    def finish(self) -> None:
        """Count and record the request."""
        gateway = self._gateway
        gateway.in_flight -= 1
        if self.ask is None:  # refused before its backend was known
            return
        exchange = Exchange(self.id, self.ask, self.key, started_s=self._started_s)
        if self.target is not None:
            exchange = replace(exchange, route=(self.target,))
        exchange = exchange.noted("path", "passed on", self._method)
        headers = dict(self.reply.headers) if self.reply else {}
        outcome = ExchangeOutcome(
            ending=self.ending,
            status=self.status or 499,
            backend=self.reply.backend if self.reply else "",
            model=self.target.model if self.target else "",
            content_type=headers.get(b"content-type", b"").decode("latin-1"),
            content_encoding=headers.get(b"content-encoding", b"").decode("latin-1"),
            body=self._transcript.whole(),
            error=self.error,
            first_byte_us=self._first_byte_us,
            total_us=(perf_counter_ns() - self._began) // 1000,
        )
        gateway.over(exchange, outcome)


def _method(scope: Scope) -> str:
    return str(scope["method"])  # type: ignore[typeddict-item]  # an HTTP scope has a method


def _check_type(scope: Scope) -> None:
    """Raise `BadRequest` for two types: the backend may go by the one that the gateway did not."""
    if sum(name == b"content-type" for name, _ in scope["headers"]) > 1:
        raise BadRequest("The request has more than one Content-Type header; send only one.", param="content-type")
