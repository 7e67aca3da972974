"""Any OpenAI-compatible server as a backend; bytes pass through unchanged."""

import re
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from msgspec import Struct

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
from gateway.backends.openai_tokens import Counter
from gateway.backends.packed_stream import READABLE, UnpackedAnswer, UnreadableStream, WholeSource
from gateway.backends.reply_headers import passed_back, unpacked_headers
from gateway.backends.route import matches
from gateway.backends.sampling import within
from gateway.errors import AnswerLost, BackendFailed, BackendTimeout, NotReady, Problem, RequestError
from gateway.exchange import Endpoint, Exchange
from gateway.ports import Headers, ModelCard, Reply, StreamEnd
from gateway.registry import AdapterKind
from gateway.settings import Count, Seconds
from gateway.wire.chat import encode

EVENT_STREAM = b"text/event-stream"
MANAGE_S = 10.0
MB = 1024 * 1024
OURS = ("host", "content-length", "transfer-encoding", "connection")
OPENAI = "api.openai.com"


class RemoteSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "openai"`: OpenAI, vLLM, llama.cpp, Ollama, or another gateway."""

    base_url: str
    """Up to and including `/v1`."""
    models: tuple[str, ...] = ()
    """The names of its models. A `*` at the end of a name matches any rest; `["*"]` takes every name that no backend
    lists in full."""
    api_key: str = ""
    """Sent as `Authorization: Bearer ...`. `env:NAME` reads it from the environment."""
    headers: dict[str, str] = {}
    """More headers for every request, such as `OpenAI-Organization`."""
    window_tokens: int = 0
    """The context window of its models, in tokens; 0: unknown, so the backend itself refuses long inputs."""
    connect_timeout_s: Seconds = 5.0
    """The longest wait for a new connection, or for one to become free."""
    idle_timeout_s: Seconds = 120.0
    """The longest wait for the first byte, and between two pieces of a stream. Noticed within a second."""
    total_timeout_s: Seconds = 1800.0
    """The longest time from the request to the answer's last byte, also for streams."""
    max_answer_mb: Count = 64
    """A larger answer is cut off with an error. Embeddings of 2,048 texts as decimal numbers can take 100 MB."""
    max_connections: Count = 1000
    """Further requests wait for a connection for `connect_timeout_s`, and then get 503 with `retry-after`."""
    room_field: str = "max_tokens"
    """The field in which a template's answer length is sent; OpenAI's reasoning models need `max_completion_tokens`."""
    sampling: tuple[Literal["max_tokens", "temperature", "stop"], ...] = ()
    """The decoder fields that a template may set if the client did not. The default is none, since some models refuse
    such fields with an error. vLLM, llama.cpp and Ollama accept all three."""
    done_marker: bool = True
    """Whether its streams end with `[DONE]`. If so, a stream that ends without it counts as broken."""
    responses: tuple[str, ...] | None = None
    """The models that serve `/v1/responses` themselves, `["*"]` for all: requests and answers pass through
    unchanged. For other models the request is translated to a chat completion, and the answer back. The default is
    all models at OpenAI's own address, and none elsewhere."""


class Remote:
    """A remote server. One connection pool for the life of the configuration."""

    def __init__(self, name: str, settings: RemoteSettings) -> None:
        self.name = name
        self._settings = settings
        self._origin = urlsplit(settings.base_url)
        base = self._origin.path.rstrip("/")
        self._paths = {endpoint: f"{base}/{endpoint}".encode() for endpoint in Endpoint}
        self._counter = Counter(next((name for name in settings.models if not name.endswith("*")), "gpt-4o"))
        self._pool: ConnectionPool | None = None

    async def open(self) -> None:
        settings, origin = self._settings, self._origin
        secure = origin.scheme == "https"
        given = {key.lower(): value for key, value in settings.headers.items()}
        if settings.api_key:
            given["authorization"] = f"Bearer {settings.api_key}"
        fixed = {"content-type": "application/json", "accept": "*/*", **given}
        self._pool = ConnectionPool(
            origin.hostname or "",
            origin.port or (443 if secure else 80),
            tls=ssl.create_default_context() if secure else None,
            headers=[(key.encode(), value.encode()) for key, value in fixed.items()],
            connect_timeout_s=settings.connect_timeout_s,
            bounds=AnswerBounds(settings.idle_timeout_s, settings.total_timeout_s, settings.max_answer_mb * MB),
            limit=settings.max_connections,
        )

    async def aclose(self) -> None:
        if self._pool is not None:
            self._pool.close()

    def models(self) -> Sequence[ModelCard]:
        settings = self._settings
        window, sampling = settings.window_tokens, settings.sampling
        cards = [ModelCard(name, tuple(Endpoint), window, sampling=sampling) for name in speakers(settings)]
        spoken = tuple([endpoint for endpoint in Endpoint if endpoint is not Endpoint.RESPONSES])
        others = [name for name in settings.models if all(name != card.name for card in cards)]
        return cards + [ModelCard(name, spoken, window, sampling=sampling) for name in others]

    def count_tokens(self, text: str) -> int:
        return self._counter.count(text)

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        if self._pool is None:
            raise NotReady(f"The backend {self.name!r} is still opening. Try again.", retry_after_s=1.0)
        exchange = within(exchange, self._settings.sampling)
        content = encode.body(exchange, model, room_field=self._settings.room_field)
        if exchange.changed or exchange.ask.stream or exchange.ask.controls.account:  # it is read or changed
            headers = tuple([header for header in headers if header[0] != b"accept-encoding"])
        try:
            answer = await self._pool.post(self._paths[exchange.ask.endpoint], content, headers)
        except UpstreamFault as error:
            raise self._failure(error, "sent no answer") from error
        return await self._reply(answer, exchange, model, headers)

    async def manage(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        # rare, so httpx's client sends it over its own connection
        import httpx

        settings = self._settings
        url = f"{settings.base_url.rstrip('/')}/{quote(path)}" + (f"?{query}" if query else "")
        headers = {"content-type": "application/json", **settings.headers}
        if settings.api_key:
            headers["authorization"] = f"Bearer {settings.api_key}"
        timeout = httpx.Timeout(MANAGE_S, connect=settings.connect_timeout_s)
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=timeout) as client:
                answer = await client.request(method, url, headers=headers, content=body)
        except httpx.HTTPError as error:
            raise BackendFailed(f"The backend {self.name!r} cannot be asked about {path}.") from error
        return answer.status_code, answer.content

    async def _reply(self, answer: UpstreamAnswer, exchange: Exchange, model: str, headers: Headers) -> Reply:
        """`headers`: those of the request, which say whether it asked for a compressed answer."""
        status = answer.status
        if 300 <= status < 400:
            answer.close()
            raise BackendFailed(f"The backend {self.name!r} answered with a redirect, which is never followed.")
        passed = passed_back(answer.headers)
        kind = _header(passed, b"content-type").strip().lower()
        encoding = _header(passed, b"content-encoding").decode("latin-1")
        if status < 300 and kind.startswith(EVENT_STREAM):
            return await self._stream(b"", answer, exchange, Reply(status, passed, backend=self.name, model=model))
        plain: WholeSource = answer
        if status < 300 and encoding.strip().lower() in READABLE and not _header(headers, b"accept-encoding"):
            plain = UnpackedAnswer(answer, encoding.strip().lower(), self._settings.max_answer_mb * MB)
            passed, encoding = unpacked_headers(passed), ""
        try:
            first = b""
            if exchange.ask.stream and status < 300 and not encoding:
                first = await first_bytes(plain)
            if first and is_stream(first):
                reply = Reply(status, streamed_headers(passed), backend=self.name, model=model)
                return await self._stream(first, plain, exchange, reply)
            whole = first + await plain.whole()
        except UpstreamFault as error:
            answer.close()
            raise self._failure(error, "broke off in the middle of its answer") from error
        except BaseException:
            answer.close()
            raise
        if kind.startswith(b"text/html"):
            raise _no_api(self.name, status)
        reply = Reply(status, passed, whole, backend=self.name, model=model)
        if status < 300:
            check_body(whole, encoding, self.name, status)
            return reply if encoding or not exchange.ask.stream else as_events(reply, exchange.ask)
        return reply

    async def _stream(self, first: bytes, answer: PieceSource, exchange: Exchange, reply: Reply) -> Reply:
        """The reply with its stream. Waits for the first event: until then a refusal can still be a status."""
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
        try:
            first = await answer.piece()
        except UpstreamFault as error:
            answer.close()
            raise self._failure(error, "broke off before the first event") from error
        except BaseException:
            answer.close()
            raise
        if not first:
            answer.close()
            raise BackendFailed(f"The backend {self.name!r} ended its stream before the first event.")
        return first

    def _failure(self, error: UpstreamFault, what: str, code: str | None = None) -> RequestError:
        """Convert a connection's error to the client's error. `what` is the text for a break while the answer was
        being received."""
        name, settings = self.name, self._settings
        match error:
            case AllInUse():
                return NotReady(
                    f"All {settings.max_connections} connections to the backend {name!r} are in use.",
                    code="backend_busy",
                    retry_after_s=1.0,
                )
            case Unreachable():
                return BackendFailed(f"The backend {name!r} cannot be reached.", code=UNREACHABLE)
            case Empty():
                return BackendFailed(f"The backend {name!r} {what}.", code=code)
            case Idle():
                return BackendTimeout(f"The backend {name!r} sent nothing for {settings.idle_timeout_s:g} s.")
            case Overdue():
                limit = f"{settings.total_timeout_s:g} s; its total_timeout_s allows no more"
                return BackendTimeout(f"The backend {name!r} did not finish its answer within {limit}.")
            case TooLong():
                limit = f"{settings.max_answer_mb} MB; its max_answer_mb allows no more"
                return AnswerLost(f"The backend {name!r} sent an answer of more than {limit}.", code="answer_too_large")
            case Unanswered():
                what = "closed the connection without an answer. It may have done the work, so it is not asked again"
        reason = f" ({error})" if isinstance(error, Broken) and str(error) == HEAD_TOO_LARGE else ""
        return AnswerLost(f"The backend {name!r} {what}{reason}.", code=code)


def _header(headers: Headers, name: bytes) -> bytes:
    return next((value for key, value in headers if key == name), b"")


def speakers(settings: RemoteSettings) -> tuple[str, ...]:
    """The names and patterns of the models that serve `/v1/responses` themselves."""
    named = settings.responses
    if named is None:
        named = ("*",) if urlsplit(settings.base_url).hostname == OPENAI else ()
    inside = [name for name in settings.models if any(matches(name, pattern) for pattern in named)]
    return (*inside, *[name for name in named if name not in inside and _offered(name, settings)])


def _offered(name: str, settings: RemoteSettings) -> bool:
    return any(matches(name, pattern) for pattern in settings.models)


def _no_api(name: str, status: int) -> RequestError:
    error = BackendFailed(
        f"The backend {name!r} answered with an HTML page (status {status}), not with an API's JSON. "
        "Its base_url may point at a web site or at a proxy's error page.",
        code="not_an_api",
    )
    if status >= 400:
        error.status = status
    return error


ENDPOINTS = ("/completions", "/embeddings", "/responses", "/models")
VERSION = re.compile(r"/v[0-9]")
"""A version somewhere in the path, such as `/v1`, `/openai/v1` or `/v1beta/openai`."""


def _check(settings: RemoteSettings, _root: Path) -> Iterable[Problem]:
    parts = urlsplit(settings.base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        remedy = "For example https://api.openai.com/v1"
        yield Problem("base_url", f"{settings.base_url!r} is not an http(s) URL", remedy)
    elif not _usable_port(settings.base_url):
        yield Problem("base_url", f"{settings.base_url!r} has no usable port")
    elif parts.path.rstrip("/").endswith(ENDPOINTS):
        yield Problem("base_url", "names one endpoint; it is the address above all of them", "End it in /v1.")
    elif not parts.path.endswith("/") and not VERSION.search(parts.path):
        remedy = f"Write {settings.base_url}/v1, or end it in / if this server's API is really there."
        yield Problem("base_url", f"{settings.base_url!r} does not end in /v1", remedy)
    if parts.query or parts.fragment:
        yield Problem("base_url", "must end with the path: a query would not be sent")
    if parts.username or parts.password:
        yield Problem("base_url", "must not hold credentials", "Use api_key.")
    for key in settings.headers:
        if key.lower() in OURS:
            yield Problem(f"headers.{key}", "is the gateway's own to set", "Leave it out.")
    for key, value in {**settings.headers, "api_key": settings.api_key}.items():
        if any(mark in key + value for mark in "\r\n\0"):
            yield Problem(key, "must not hold line breaks")
    for name in settings.responses or ():
        if not _offered(name, settings) and not any(matches(model, name) for model in settings.models):
            yield Problem("responses", f"{name!r} is not among the models", "Name it there too.")
    if not settings.models:
        yield Problem("models", "is empty, so no request reaches it", 'For example models = ["*"].')


def _usable_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _build(name: str, settings: RemoteSettings, parts: object) -> Remote:
    return Remote(name, settings)


KIND = AdapterKind(RemoteSettings, _build, _check)
