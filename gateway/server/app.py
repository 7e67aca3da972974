"""The application: routes, access, error answers, start-up and shutdown."""

import asyncio
import difflib
import gc
import logging
import re
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.types import Receive, Scope, Send

from gateway.ask import ClientKey, Endpoint
from gateway.assembly.assemble import assemble
from gateway.assembly.gateway import Gateway, ReloadConfig
from gateway.errors import RequestError
from gateway.server import engine_variants, foreword, found_prompts, job_orders, models, openapi, operations, reload
from gateway.server import stored_completions as stored
from gateway.server import stored_responses as stored_responses
from gateway.server.access import Access, single_headers
from gateway.server.access_lines import Proxies, line_of, logged
from gateway.server.answer import WRONG_METHOD, AnswerHandler
from gateway.server.batches import routes as batch_routes
from gateway.server.batches.run import BatchRunner
from gateway.server.batches.store import BatchStore
from gateway.server.cors import Cors
from gateway.server.packed_body import unpacking
from gateway.server.passing.handler import PassingHandler
from gateway.server.passing.paths import OWN, mapped
from gateway.server.sockets.handler import SocketHandler
from gateway.server.stores import files, part_uploads, store_files, vector_stores
from gateway.server.templates import compare_page as compare
from gateway.server.templates import library as templates
from gateway.server.templates import report
from gateway.server.templates import waiting_page as template_page
from gateway.settings.tables import Settings
from gateway.telemetry.logs import set_up
from gateway.wire import errors
from gateway.wire.chat import decode
from gateway.wire.messages import request as messages
from gateway.wire.responses import request as responses

log = logging.getLogger("foreword.server")
ALIKE = 0.8
"""How similar a known path must be to be suggested for an unknown path. The similarity of /v1/moderations and
/v1/models is 0.72, which is too low."""
LONGEST_MISSPELT = 100
"""An unknown path that is longer than this, in characters, gets no suggestion."""
PASSED_BELOW_RESPONSES = ("compact", "input_tokens")
ANSWERED = (
    (Endpoint.CHAT, decode.chat),
    (Endpoint.COMPLETION, decode.completion),
    (Endpoint.EMBEDDING, decode.embedding),
    (Endpoint.RESPONSES, responses.ask),
    (Endpoint.MESSAGES, messages.ask),
    (Endpoint.TOKEN_COUNT, messages.token_count),
)

HANDLERS = (
    models.list_models,
    models.get_model,
    models.delete_model,
    foreword.preview_request,
    foreword.get_exchange,
    foreword.give_feedback,
    compare.compare_versions,
    compare.compare_page,
    report.template_report,
    stored.list_stored,
    stored.get_stored,
    stored.get_stored_messages,
    stored.change_stored,
    stored.delete_stored,
    *stored_responses.HANDLERS,
    *engine_variants.HANDLERS,
    *found_prompts.HANDLERS,
    *job_orders.HANDLERS,
    *templates.HANDLERS,
    *template_page.HANDLERS,
    *files.HANDLERS,
    *batch_routes.HANDLERS,
    *part_uploads.HANDLERS,
    *vector_stores.HANDLERS,
    *store_files.HANDLERS,
    operations.live,
    operations.ready,
    operations.metrics,
    reload.reload_config,
    openapi.document,
)
"""The routes that Litestar serves."""


class AsgiFront:
    """The ASGI application. It serves the busiest (hot) routes itself and passes the others to Litestar.

    Litestar's router and middleware would cost a hot request 40 µs. Hot routes match their exact path, and their
    handlers check the caller's key themselves.
    """

    def __init__(
        self,
        hot: dict[str, AnswerHandler],
        rest: Litestar,
        passing: PassingHandler,
        sockets: SocketHandler,
        gateway: Gateway,
        access: Access,
    ) -> None:
        settings = gateway.settings
        self._passing = passing
        self._sockets = sockets
        self._access = access
        self._hot = hot
        self._rest = rest
        self._gateway = gateway
        self._cors = Cors(settings.server.allowed_origins) if settings.server.allowed_origins else None
        self._trusted = Proxies(settings.server.trusted_proxies)
        self._limit = max(settings.server.max_body_mb, settings.context.max_file_mb) * 2**20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await self._connect(scope, receive, send)
            return
        if scope["type"] != ScopeType.HTTP:
            await self._rest(scope, receive, send)
            return
        if self._cors is not None:
            if await self._cors.answer_preflight(scope, send):
                return
            send = self._cors.answering(scope, send)
        if self._gateway.access_log is not None:
            await logged(self._gateway.access_log, self._trusted, self._answer, scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _connect(self, scope: Any, receive: Receive, send: Send) -> None:
        if self._gateway.access_log is not None:
            await logged(self._gateway.access_log, self._trusted, self._sockets, scope, receive, send)
        else:
            await self._sockets(scope, receive, send)

    async def _answer(self, scope: Any, receive: Receive, send: Send) -> None:
        scope, receive = unpacking(scope, receive, self._limit)
        handler = self._hot.get(scope["path"])
        if handler is not None and not _lists_stored(scope):
            await handler(scope, receive, send)
        elif await self._passes(scope):
            await self._passing(scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    async def _passes(self, scope: Scope) -> bool:
        """Whether a request passes to a backend, because the gateway has no answer of its own for the path."""
        path = scope["path"]
        if not path.startswith("/v1/") or path in self._hot or not self._passing.has_backend:
            return False
        family, _, below = path.removeprefix("/v1/").partition("/")
        if family == "responses":
            return below in PASSED_BELOW_RESPONSES
        if family == "batches" and self._gateway.intake is not None:
            is_own = not below or below.startswith("batch_fw_")
            return not is_own or bool(mapped(self._gateway.settings.routing.paths, path))
        if family in ("files", "uploads"):
            return await self._passes_files(scope, path, below)
        return bool(family) and family not in OWN

    async def _passes_files(self, scope: Scope, path: str, below: str) -> bool:
        """Whether a request is about a file or an upload at a backend. Those that the gateway itself has stay
        here."""
        if mapped(self._gateway.settings.routing.paths, path):
            return True
        if self._gateway.intake is None:
            return True
        id = below.partition("/")[0]
        if not self._access.knows(dict(scope["headers"])):
            return False  # the refusal needs no database
        return bool(id and await self._gateway.objects.find([id]))

    def readiness(self) -> tuple[int, bytes]:
        """Return the status and the body of `/health/ready`."""
        status, body = operations.readiness_of(self._gateway)
        return status, msgspec.json.encode(body)

    def metrics_page(self) -> bytes:
        """Return the body of `/metrics`."""
        return self._gateway.metrics.page()

    def drain(self) -> None:
        """Make `/health/ready` report that the gateway is draining. Requests are still answered."""
        self._gateway.readiness.draining = True

    def reload_with(self, reload: ReloadConfig) -> None:
        """Set the function that replaces the configuration of the whole server."""
        self._gateway.reload_config = reload

    def cut(self) -> None:
        """Stop and record the running answers. A stream ends with an error event; any other request gets a 503."""
        for handler in self._hot.values():
            handler.cut()
        self._passing.cut()
        self._sockets.cut()


def _lists_stored(scope: Scope) -> bool:
    """Return whether the request lists stored completions. Such a request has the same path as one for a new
    completion."""
    return scope["type"] == ScopeType.HTTP and scope["method"] == "GET" and scope["path"] == f"/v1/{Endpoint.CHAT}"


def create(settings: Settings) -> AsgiFront:
    """Create the application of one worker process."""
    set_up(settings.server.log_level)
    return application(assemble(settings))


def application(gateway: Gateway) -> AsgiFront:
    access = Access(gateway.settings, gateway.state)
    batch_store = BatchStore(gateway.settings.data_folder / "batches.sqlite3")
    runner = BatchRunner(gateway, access, batch_store, {f"/v1/{endpoint}": read for endpoint, read in ANSWERED})
    running: asyncio.Task[None] | None = None

    async def admitted(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Refuse a request without a valid key, unless the route is open. Litestar calls this before every handler."""
        headers = single_headers(connection.scope)
        if handler.opt.get("open"):
            access.admit_anyone(headers)
        else:
            key = connection.scope["state"]["key"] = await access.admit(headers, page=_is_page(connection))
            if (line := line_of(connection.scope)) is not None:
                line.key = key.name

    async def caller(request: Request[Any, Any, Any]) -> ClientKey:
        key: ClientKey = request.scope["state"]["key"]
        return key

    async def shared() -> Gateway:
        return gateway

    async def batches() -> BatchStore:
        return batch_store

    async def open_gateway() -> None:
        nonlocal running
        await gateway.open()
        if gateway.intake is not None:
            running = asyncio.create_task(runner.run(), name="batches")
        _collect_garbage_rarely()

    async def close_gateway() -> None:
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await gateway.aclose()

    rest = Litestar(
        HANDLERS,
        guards=[admitted],
        dependencies={"gateway": Provide(shared), "key": Provide(caller), "batches": Provide(batches)},
        exception_handlers={RequestError: _refused, HTTPException: _unrouted, Exception: _failed},
        on_startup=[open_gateway],
        on_shutdown=[close_gateway],
        openapi_config=openapi.CONFIG,
        logging_config=None,
        request_max_body_size=gateway.settings.server.max_body_mb * 1024 * 1024,
    )
    hot = {f"/v1/{endpoint}": AnswerHandler(gateway, access, endpoint, read) for endpoint, read in ANSWERED}
    sockets = SocketHandler(gateway, access, hot[f"/v1/{Endpoint.RESPONSES}"])
    return AsgiFront(hot, rest, PassingHandler(gateway, access), sockets, gateway, access)


def _collect_garbage_rarely() -> None:
    # the existing objects live until the process ends, so garbage collection need not look at them
    gc.collect()
    gc.freeze()
    # a request creates hundreds of objects but hardly any reference cycle; the default threshold of 700 would
    # trigger several collections per request
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def _is_page(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    return connection.scope["path"].endswith(".html")


def _refused(connection: ASGIConnection[Any, Any, Any, Any], error: RequestError) -> Response[bytes]:
    headers = {"retry-after": str(max(1, round(error.retry_after_s)))} if error.retry_after_s else {}
    if error.status == WRONG_METHOD:
        headers["allow"] = "POST"
    if error.status == 401 and _is_page(connection):
        # this header makes a browser ask for the key
        headers["www-authenticate"] = 'Basic realm="Foreword: any name, and an admin key as the password"'
    return Response(errors.envelope(error), status_code=error.status, headers=headers, media_type="application/json")


def _unrouted(request: ASGIConnection[Any, Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Convert Litestar's own refusals, such as an unknown path, to OpenAI's form."""
    if error.status_code >= 500:
        return _failed(request, error)
    code = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}.get(error.status_code)
    path = request.url.path
    methods = (error.headers or {}).get("allow", "")
    hint = _meant(request, path) if code == "not_found" else f"; use {methods}" if methods else ""
    known = RequestError(f"{error.detail} ({path}){hint}", code=code)
    known.status, known.type = error.status_code, "invalid_request_error"
    answer = _refused(request, known)
    if methods:
        answer.headers["allow"] = methods  # the methods that this path allows
    return answer


def _meant(request: ASGIConnection[Any, Any, Any, Any], path: str) -> str:
    """Return a hint at the path that the client probably meant, or "" if no known path is similar.

    Most wrong paths come from a wrong base URL: /v1 is missing or doubled.
    """
    if len(path) > LONGEST_MISSPELT:
        return ""
    known = {route.path for route in request.app.routes} | {f"/v1/{endpoint}" for endpoint, _ in ANSWERED}
    one = next((route for route in known if route.startswith(f"{path.rstrip('/')}/{{")), "")
    if one:
        return f". It needs an id: {_shown(one)}"
    close = difflib.get_close_matches(path, [route for route in known if "{" not in route], 1, ALIKE)
    if not close:
        return ""
    if close[0].startswith(f"/v1/{Endpoint.MESSAGES}"):
        return f". Did you mean {close[0]}? The base URL of Anthropic's clients does not end in /v1."
    return f". Did you mean {close[0]}?" + (" A client's base URL ends in /v1." if close[0].startswith("/v1") else "")


def _shown(route: str) -> str:
    """Return a route without the types of its path parameters."""
    return re.sub(r":[a-z]+}", "}", route)


def _failed(_: ASGIConnection[Any, Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("a request failed", exc_info=error)
    return Response(
        errors.envelope(RequestError("The gateway failed on this request. The gateway's log has the reason.")),
        status_code=500,
        media_type="application/json",
    )
