"""A backend for any OpenAI-compatible server. Bytes pass through unchanged."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from gateway.ask import Ask, Endpoint
from gateway.backends.as_events import as_events, streamed_headers
from gateway.backends.call import UNREACHABLE
from gateway.backends.connection_pool import ConnectionPool, UpstreamAnswer
from gateway.backends.http1 import (
    HEAD_TOO_LARGE,
    AllInUse,
    AnswerBounds,
    Broken,
    Empty,
    Idle,
    Overdue,
    TooLong,
    Unanswered,
    Unreachable,
    UpstreamFault,
)
from gateway.backends.judged import JudgedStream, PieceSource, check_body, first_bytes, is_stream, keep_waiting
from gateway.backends.network_settings import proxy_for, tls_for
from gateway.backends.openai_tokens import Counter
from gateway.backends.packed_stream import READABLE, UnpackedAnswer, UnreadableStream, WholeSource
from gateway.backends.passing.pass_on import PassOn
from gateway.backends.passing.web_socket import open_socket
from gateway.backends.probe_settings import ProbeSettings
from gateway.backends.remote_settings import RemoteSettings, check, speakers
from gateway.backends.reply_headers import passed_back, unpacked_headers
from gateway.backends.sampling import within
from gateway.errors import AnswerLost, BackendFailed, BackendTimeout, NotFound, NotReady, RequestError
from gateway.exchange import Exchange
from gateway.ports import BackendSocket, Headers, ModelCard, PassedRequest, Reply, StreamEnd
from gateway.registry import AdapterKind
from gateway.wire.chat import encode

log = logging.getLogger("foreword.remote")

EVENT_STREAM = b"text/event-stream"
SPOKEN = (Endpoint.CHAT, Endpoint.COMPLETION, Endpoint.EMBEDDING)
"""The endpoints of every OpenAI-compatible server. Some models also have `/v1/responses`."""
MANAGE_S = 10.0
MB = 1024 * 1024
CUT_SHORT = "broke off in the middle of its answer"


class Remote:
    """A remote server, with a connection pool that lasts as long as the configuration."""

    has_paths = True
    """Whether requests to any path may pass to the server, because its paths are OpenAI's or Anthropic's."""

    def __init__(self, name: str, settings: RemoteSettings) -> None:
        self.name = name
        self._settings = settings
        self._origin = urlsplit(settings.base_url)
        self._place = f"{self._origin.hostname}:{self._origin.port or self._origin.scheme}"
        """The address for the log, without a password."""
        base = self._origin.path.rstrip("/")
        self._paths = {endpoint: f"{base}/{endpoint}".encode() for endpoint in Endpoint}
        self._counter = Counter(next((name for name in settings.models if not name.endswith("*")), "gpt-4o"))
        self._pool: ConnectionPool | None = None
        self._pass_on: PassOn | None = None

    async def open(self) -> None:
        settings, origin = self._settings, self._origin
        secure = origin.scheme == "https"
        fixed = {"content-type": "application/json", "accept": "*/*", **self._with_key(self.credentials())}
        self._pool = ConnectionPool(
            origin.hostname or "",
            origin.port or (443 if secure else 80),
            # reading certificates takes some 20 ms
            tls=await asyncio.to_thread(tls_for, settings) if secure else None,
            proxy=proxy_for(settings, settings.base_url),
            headers=[(key.encode(), value.encode()) for key, value in fixed.items()],
            connect_timeout_s=settings.connect_timeout_s,
            bounds=AnswerBounds(settings.idle_timeout_s, settings.total_timeout_s, settings.max_answer_mb * MB),
            limit=settings.max_connections,
            waiting=settings.max_waiting,
        )

    async def aclose(self) -> None:
        if self._pool is not None:
            self._pool.close()
        if self._pass_on is not None:
            await self._pass_on.aclose()

    async def pass_on(self, request: PassedRequest) -> Reply:
        """Send a request to any path of the server. See `Passable`."""
        request = await self._passing(request)
        if self._pass_on is None:
            settings, secure = self._settings, self._origin.scheme == "https"
            headers = self._with_key(self.managing_headers())
            tls = await asyncio.to_thread(tls_for, settings) if secure else None
            proxy = proxy_for(settings, settings.base_url)
            made = PassOn(self.name, settings, self._origin, headers, tls, proxy)
            self._pass_on = self._pass_on or made
        reply = await self._pass_on.send(request)
        self.forget_refused(reply.status)
        return reply

    async def connect(
        self, request: PassedRequest, subprotocols: Sequence[str], most_bytes: int
    ) -> BackendSocket | Reply:
        """Open a WebSocket at any path of the server. See `Connectable`."""
        request = await self._passing(request)
        settings, secure = self._settings, self._origin.scheme == "https"
        place = self._origin.path.rstrip("/") + request.target.decode("latin-1")
        return await open_socket(
            self.name,
            settings,
            f"{'wss' if secure else 'ws'}://{self._origin.netloc}{place}",
            self._with_key(self.managing_headers()),
            request.headers,
            subprotocols,
            most_bytes=most_bytes,
            tls=await asyncio.to_thread(tls_for, settings) if secure else None,
            proxy=proxy_for(settings, settings.base_url),
        )

    async def _passing(self, request: PassedRequest) -> PassedRequest:
        """Return a request as the server takes it. Raises `NotFound` if the server's paths are not OpenAI's."""
        if not self.has_paths:
            raise NotFound(f"Requests to /v1{request.target.decode('latin-1')} cannot pass to this backend.")
        fresh = await self.fresh_headers(request.method, request.target, b"")
        return replace(request, target=self.passed_target(request), headers=(*request.headers, *fresh))

    def passed_target(self, request: PassedRequest) -> bytes:
        """Return the path below the server's address, and the query, of a request that passes."""
        return request.target

    @property
    def running(self) -> int:
        """The number of requests that are being answered or wait for a connection."""
        return self._pool.taken if self._pool is not None else 0

    def models(self) -> Sequence[ModelCard]:
        settings = self._settings
        window, sampling = settings.window_tokens, settings.sampling
        every = (*SPOKEN, Endpoint.RESPONSES)
        cards = [ModelCard(name, every, window, sampling=sampling) for name in speakers(settings)]
        others = [name for name in settings.models if all(name != card.name for card in cards)]
        return cards + [ModelCard(name, SPOKEN, window, sampling=sampling) for name in others]

    def path(self, ask: Ask, model: str) -> bytes:
        """Return the path and the query of a request. `model` is the backend's name for the model."""
        return self._paths[ask.endpoint]

    async def fresh_headers(self, method: str, path: bytes, content: bytes) -> Headers:
        """Return headers that are made anew for each request, such as a signature or a token that expires."""
        return ()

    def forget_refused(self, status: int) -> None:
        """Fetch another token for the next request, if the server refuses the present one with this status."""

    def credentials(self) -> dict[str, str]:
        """Return the header with the server's key, or nothing if the server needs no key."""
        return {"authorization": f"Bearer {self._settings.api_key}"} if self._settings.api_key else {}

    def managing_headers(self) -> dict[str, str]:
        """Return the headers that every request of `manage` needs."""
        return self.credentials()

    def _with_key(self, own: Mapping[str, str]) -> dict[str, str]:
        """Return the configured headers with those of the kind, which replace equal names in any case."""
        return {**{name.lower(): value for name, value in self._settings.headers.items()}, **own}

    def count_tokens(self, text: str) -> int:
        return self._counter.count(text)

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        exchange = within(exchange, self._settings.sampling)
        content = encode.body(exchange, model, room_field=self._settings.room_field)
        # a later part will read or change the answer
        if exchange.changed or exchange.ask.stream or exchange.ask.controls.account:
            headers = tuple([header for header in headers if header[0] != b"accept-encoding"])
        path = self.path(exchange.ask, model)
        answer = await self._post(path, content, headers)
        return await self._reply(answer, exchange, model, headers)

    async def _post(self, path: bytes, content: bytes, headers: Headers) -> UpstreamAnswer:
        """Send a request, and return the answer when its head has arrived."""
        if self._pool is None:
            raise NotReady(f"The backend {self.name!r} is still opening. Try again.", retry_after_s=1.0)
        fresh = await self.fresh_headers("POST", path, content)
        try:
            answer = await self._pool.post(path, content, (*headers, *fresh))
        except UpstreamFault as error:
            raise self._failure(error, "sent no answer") from error
        self.forget_refused(answer.status)
        return answer

    @property
    def probe(self) -> ProbeSettings | None:
        return self._settings.probe

    async def ping(self, path: str) -> int:
        """Fetch a path below `base_url`, or below the server's root if it begins with `/`. Returns the status.

        Raises `RequestError`.
        """
        if self._pool is None:
            raise NotReady(f"The backend {self.name!r} is still opening. Try again.")
        whole = path if path.startswith("/") else f"{self._origin.path.rstrip('/')}/{path}"
        fresh = await self.fresh_headers("GET", whole.encode(), b"")
        try:
            answer = await self._pool.get(whole.encode(), fresh)
        except UpstreamFault as error:
            raise self._failure(error, "sent no answer to a probe") from error
        self.forget_refused(answer.status)
        await self._read(answer.whole(), answer, f"{CUT_SHORT} to a probe")
        return answer.status

    async def manage(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        # these calls are rare, so httpx opens a connection for each
        import httpx

        settings = self._settings
        url = f"{settings.base_url.rstrip('/')}/{quote(path)}" + (f"?{query}" if query else "")
        made = await self.fresh_headers(method, url.encode(), body)
        fresh = {name.decode(): value.decode() for name, value in made}
        headers = {"content-type": "application/json", **self._with_key(self.managing_headers()), **fresh}
        proxy = proxy_for(settings, settings.base_url)
        timeout = httpx.Timeout(MANAGE_S, connect=settings.connect_timeout_s)
        try:
            async with httpx.AsyncClient(
                trust_env=False,
                timeout=timeout,
                verify=await asyncio.to_thread(tls_for, settings),
                proxy=httpx.Proxy(proxy.url, headers=proxy.headers) if proxy else None,
            ) as client:
                answer = await client.request(method, url, headers=headers, content=body)
        except httpx.HTTPError as error:
            raise BackendFailed(f"The backend {self.name!r} did not answer a request for {path}.") from error
        self.forget_refused(answer.status_code)
        return answer.status_code, answer.content

    async def _reply(self, answer: UpstreamAnswer, exchange: Exchange, model: str, headers: Headers) -> Reply:
        """Check the upstream's answer and convert it to a reply. The request's `headers` tell whether the client asked
        for compression.
        """
        status = answer.status
        self._refuse_redirect(answer)
        passed = passed_back(answer.headers)
        kind = _header(passed, b"content-type").strip().lower()
        encoding = _header(passed, b"content-encoding").decode("latin-1")
        if status < 300 and kind.startswith(EVENT_STREAM):
            return await self._stream(b"", answer, exchange, Reply(status, passed, backend=self.name, model=model))
        plain: WholeSource = answer
        if status < 300 and encoding.strip().lower() in READABLE and not _header(headers, b"accept-encoding"):
            plain = UnpackedAnswer(answer, encoding.strip().lower(), self._settings.max_answer_mb * MB)
            passed, encoding = unpacked_headers(passed), ""
        first = b""
        if exchange.ask.stream and status < 300 and not encoding:
            first = await self._read(first_bytes(plain), plain, CUT_SHORT)
            if is_stream(first):
                reply = Reply(status, streamed_headers(passed), backend=self.name, model=model)
                return await self._stream(first, plain, exchange, reply)
        whole = first + await self._read(plain.whole(), plain, CUT_SHORT)
        if kind.startswith(b"text/html"):
            raise _no_api(self.name, status)
        reply = Reply(status, passed, whole, backend=self.name, model=model)
        if status < 300:
            check_body(whole, encoding, self.name, status)
            return reply if encoding or not exchange.ask.stream else as_events(reply, exchange.ask)
        return reply

    async def _stream(self, first: bytes, answer: PieceSource, exchange: Exchange, reply: Reply) -> Reply:
        """Add the stream to the reply after the first event has arrived. Until then, a refusal can still set the
        status.
        """
        encoding = _header(reply.headers, b"content-encoding").strip().lower().decode("latin-1")
        if encoding and encoding not in (*READABLE, "identity"):
            reply.pieces = UnreadableStream(first or await self._first(answer), answer, self._failure)
            return reply
        settings, end = self._settings, StreamEnd()
        plain = answer
        if encoding in READABLE:
            plain = UnpackedAnswer(answer, encoding, settings.max_answer_mb * MB)
            reply.headers = unpacked_headers(reply.headers)
        stream = JudgedStream(first, plain, exchange.ask.endpoint, self._failure, marked=settings.done_marker, end=end)
        await stream.begin(keep_waiting(exchange), settings.idle_timeout_s)
        reply.pieces, reply.end = stream, end
        return reply

    async def _first(self, answer: PieceSource) -> bytes:
        first = await self._read(answer.piece(), answer, "broke off before the first event")
        if not first:
            answer.close()
            raise BackendFailed(f"The backend {self.name!r} ended its stream before the first event.")
        return first

    def _refuse_redirect(self, answer: UpstreamAnswer) -> None:
        if 300 <= answer.status < 400:
            answer.close()
            raise BackendFailed(f"The backend {self.name!r} answered with a redirect, which is never followed.")

    async def _read(self, reading: Awaitable[bytes], answer: PieceSource, what: str) -> bytes:
        """Wait for bytes of an answer. If they do not come, the answer is closed, and the error is the client's."""
        try:
            return await reading
        except UpstreamFault as error:
            answer.close()
            raise self._failure(error, what) from error
        except BaseException:
            answer.close()
            raise

    def _failure(self, error: UpstreamFault, what: str, code: str | None = None) -> RequestError:
        """Convert a connection's error to the error that the client gets. `what` is the message for a connection that
        broke during the answer.
        """
        name, settings = self.name, self._settings
        match error:
            case AllInUse():
                return NotReady(
                    f"All {settings.max_connections} connections to the backend {name!r} are in use.",
                    code="backend_busy",
                    retry_after_s=1.0,
                )
            case Unreachable():
                # the address is for the operator; clients get only the kind of failure
                log.warning("backend %s cannot be reached at %s: %s", name, self._place, error.__cause__ or error)
                return BackendFailed(
                    f"The backend {name!r} cannot be reached: {error}. The gateway's log has its address.",
                    code=UNREACHABLE,
                )
            case Empty():
                return BackendFailed(f"The backend {name!r} {what}.", code=code)
            case Idle():
                return BackendTimeout(f"The backend {name!r} sent nothing for {settings.idle_timeout_s:g} s.")
            case Overdue():
                limit = f"{settings.total_timeout_s:g} s, its total_timeout_s"
                return BackendTimeout(f"The backend {name!r} did not finish its answer within {limit}.")
            case TooLong():
                limit = f"{settings.max_answer_mb} MB, its max_answer_mb"
                return AnswerLost(f"The backend {name!r} sent an answer of more than {limit}.", code="answer_too_large")
            case Unanswered():
                what = "closed the connection without an answer. It may have done the work, so it is not asked again"
        reason = f" ({error})" if isinstance(error, Broken) and str(error) == HEAD_TOO_LARGE else ""
        return AnswerLost(f"The backend {name!r} {what}{reason}.", code=code)


def _header(headers: Headers, name: bytes) -> bytes:
    return next((value for key, value in headers if key == name), b"")


def _no_api(name: str, status: int) -> RequestError:
    error = BackendFailed(
        f"The backend {name!r} answered with an HTML page (status {status}), not with an API's JSON. "
        "Its base_url may point at a web site or at a proxy's error page.",
        code="not_an_api",
    )
    if status >= 400:
        error.status = status
    return error


def _build(name: str, settings: RemoteSettings, parts: object) -> Remote:
    return Remote(name, settings)


KIND = AdapterKind(RemoteSettings, _build, check)
