"""Any OpenAI-compatible server as a backend: its bytes in, its bytes out.

httpx's transport interface over aiohttp, without `httpx.AsyncClient`, which alone costs more CPU
than all the rest of a request.
"""

import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from msgspec import Struct

from gateway.backends.call import UNREACHABLE
from gateway.errors import BackendFailed, BackendTimeout, Problem, RequestError
from gateway.exchange import Endpoint, Exchange
from gateway.ports import Headers, ModelCard, Reply
from gateway.registry import Kind
from gateway.wire import encode

# what belongs to one connection (RFC 9110, 7.6.1), and what the gateway says itself
NOT_PASSED_BACK = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"date",
        b"server",
        # a cookie set for the gateway's own connection is no client's business
        b"set-cookie",
        b"alt-svc",
        b"strict-transport-security",
    }
)
WINDOW_UNKNOWN = 0
DONE = b"[DONE]"
STREAMED = (Endpoint.CHAT, Endpoint.COMPLETION)


class RemoteSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "openai"`: OpenAI, vLLM, llama.cpp, Ollama, or another gateway."""

    base_url: str
    """Up to and including `/v1`."""
    models: tuple[str, ...] = ()
    """The names it answers to; `*` at the end of a name matches any rest, and `["*"]` takes every name."""
    api_key: str = ""
    """Sent as `Authorization: Bearer ...`. `env:NAME` reads it from the environment."""
    headers: dict[str, str] = {}
    """More headers for every request, such as `OpenAI-Organization`."""
    window_tokens: int = WINDOW_UNKNOWN
    """The context window of its models; 0 leaves length to the backend."""
    connect_timeout_s: float = 5.0
    idle_timeout_s: float = 120.0
    """The longest silence, before the first byte and between two pieces of a stream."""
    max_connections: int = 1000
    room_field: str = "max_tokens"
    """What a template's answer length is called here; OpenAI's reasoning models want `max_completion_tokens`."""
    done_marker: bool = True
    """Whether its streams end with `[DONE]`. If so, one that ends without it counts as broken."""


class _Post(httpx.Request):
    """A request for the transport alone: parsed URL and headers are taken as they are."""

    def __init__(self, url: httpx.URL, headers: httpx.Headers, content: bytes, timeout: dict[str, Any]) -> None:
        self.method = "POST"
        self.url = url
        self.headers = headers
        self.extensions = timeout
        self._content = content


class Remote:
    """A remote server. One connection pool for the life of the configuration."""

    def __init__(self, name: str, settings: RemoteSettings) -> None:
        self.name = name
        self._settings = settings
        base = settings.base_url.rstrip("/")
        self._urls = {endpoint: httpx.URL(f"{base}/{endpoint}") for endpoint in Endpoint}
        given = {key.lower(): value for key, value in settings.headers.items()}
        if settings.api_key:
            given["authorization"] = f"Bearer {settings.api_key}"
        self._headers = httpx.Headers({"content-type": "application/json", "accept": "*/*", **given})
        limits = {"connect": settings.connect_timeout_s, "read": settings.idle_timeout_s, "pool": None}
        self._extensions = {"timeout": limits}
        self._transport: AiohttpTransport | None = None

    async def open(self) -> None:
        connector = aiohttp.TCPConnector(
            limit=self._settings.max_connections, keepalive_timeout=60.0, ssl=ssl.create_default_context()
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
        )
        self._transport = AiohttpTransport(client=session)

    async def aclose(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()

    def models(self) -> Sequence[ModelCard]:
        return [ModelCard(name, tuple(Endpoint), self._settings.window_tokens) for name in self._settings.models]

    def count_tokens(self, text: str) -> int:
        """An upper bound: no byte-level tokenizer makes more tokens than there are bytes."""
        return len(text.encode())

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        content = encode.body(exchange, model, room_field=self._settings.room_field)
        response = await self._post(exchange.ask.endpoint, content, self._with(headers, exchange.changed))
        if 300 <= response.status_code < 400:
            await response.stream.aclose()  # type: ignore[union-attr]  # the transport's is always async
            raise BackendFailed(f"The backend {self.name!r} answered with a redirect, which is never followed.")
        pieces = response.stream.__aiter__()  # type: ignore[union-attr]
        kind = response.headers.get("content-type", "")
        passed = tuple([header for header in response.headers.raw if header[0].lower() not in NOT_PASSED_BACK])
        if kind.startswith("text/event-stream") and response.status_code < 300:
            first = await self._first(pieces, response)
            body = self._stream(first, pieces, response, exchange.ask.endpoint)
            return Reply(response.status_code, passed, body, stream=True, backend=self.name, model=model)
        whole = await self._whole(pieces, response)
        if kind.startswith("text/html"):
            raise _no_api(self.name, response.status_code)
        return Reply(response.status_code, passed, _once(whole), backend=self.name, model=model)

    def _with(self, extra: Headers, changed: bool) -> httpx.Headers:
        """The client's headers that travel on. A changed exchange is annotated, so it must not be compressed."""
        travelling = [header for header in extra if not (changed and header[0] == b"accept-encoding")]
        if not travelling:
            return self._headers
        return httpx.Headers([*self._headers.raw, *travelling])

    async def _post(self, endpoint: Endpoint, content: bytes, headers: httpx.Headers) -> httpx.Response:
        if self._transport is None:
            raise BackendFailed(f"The backend {self.name!r} is not open.")
        try:
            return await self._transport.handle_async_request(
                _Post(self._urls[endpoint], headers, content, self._extensions)
            )
        except httpx.HTTPError as error:
            raise self._failure(error, "cannot be reached", UNREACHABLE) from error

    async def _first(self, pieces: AsyncIterator[bytes], response: httpx.Response) -> bytes:
        # pulled before the answer starts, so that a refusal is still a status
        try:
            return await anext(pieces)
        except StopAsyncIteration:
            await response.stream.aclose()  # type: ignore[union-attr]
            raise BackendFailed(f"The backend {self.name!r} ended its stream before the first event.") from None
        except httpx.HTTPError as error:
            await response.stream.aclose()  # type: ignore[union-attr]
            raise self._failure(error, "broke off before the first event") from error

    async def _whole(self, pieces: AsyncIterator[bytes], response: httpx.Response) -> bytes:
        try:
            return b"".join([piece async for piece in pieces])
        except httpx.HTTPError as error:
            raise self._failure(error, "broke off in the middle of its answer") from error
        finally:
            await response.stream.aclose()  # type: ignore[union-attr]

    async def _stream(
        self, first: bytes, pieces: AsyncIterator[bytes], response: httpx.Response, endpoint: Endpoint
    ) -> AsyncIterator[bytes]:
        tail = first
        try:
            yield first
            async for piece in pieces:
                tail = piece if len(piece) > len(DONE) else tail[-len(DONE) :] + piece
                yield piece
        except httpx.HTTPError as error:
            raise self._failure(error, "broke off in the middle of its stream", "stream_cut") from error
        finally:
            await response.stream.aclose()  # type: ignore[union-attr]
        if self._settings.done_marker and endpoint in STREAMED and DONE not in tail:
            raise BackendFailed(f"The backend {self.name!r} ended its stream without [DONE].", code="stream_cut")

    def _failure(self, error: httpx.HTTPError, what: str, code: str | None = None) -> RequestError:
        """Our error for the transport's. Its text is left out: it may hold the upstream's address."""
        if isinstance(error.__cause__, TimeoutError) or isinstance(error, httpx.ReadTimeout):
            idle = self._settings.idle_timeout_s
            return BackendTimeout(f"The backend {self.name!r} {what}: no byte within its time limit ({idle:g} s idle).")
        return BackendFailed(f"The backend {self.name!r} {what}.", code=code)


def _no_api(name: str, status: int) -> RequestError:
    error = BackendFailed(
        f"The backend {name!r} answered with an HTML page (status {status}), not with an API's JSON. "
        "Its base_url may point at a web site or at a proxy's error page.",
        code="not_an_api",
    )
    if status >= 400:
        error.status = status
    return error


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _check(name: str, settings: RemoteSettings) -> Iterable[Problem]:
    parts = urlsplit(settings.base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        remedy = "For example https://api.openai.com/v1"
        yield Problem(f"[backends.{name}] base_url", f"{settings.base_url!r} is not an http(s) URL", remedy)
    if parts.username or parts.password:
        yield Problem(f"[backends.{name}] base_url", "must not hold credentials", "Use api_key.")
    if not settings.models:
        yield Problem(f"[backends.{name}] models", "is empty, so no request reaches it", 'For example models = ["*"].')


def _build(name: str, settings: RemoteSettings, parts: object) -> Remote:
    return Remote(name, settings)


KIND = Kind(RemoteSettings, _build, _check)
