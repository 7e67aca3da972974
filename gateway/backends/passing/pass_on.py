"""Passes a request to any path of a remote server. Request and answer are streamed, so their size does not matter.

The client of chat completions (`http1.py`) only sends whole POST requests. These paths are called less often, so
httpcore sends them.
"""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from time import monotonic
from typing import Any

from gateway.backends.call import REPEATABLE, UNREACHABLE
from gateway.backends.remote_settings import RemoteSettings
from gateway.backends.reply_headers import passed_back
from gateway.backends.tunnel import Proxy
from gateway.errors import AnswerLost, BackendFailed, BackendTimeout, NotReady, RequestError
from gateway.ports import PassedRequest, Reply

IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
"""The methods whose requests may be sent twice (RFC 9110, 9.2.2)."""
CONNECTIONS = 100


class _PassedPieces:
    """The pieces of an answer. `aclose` frees the connection, even if no piece was read."""

    def __init__(self, answer: Any, pieces: AsyncGenerator[bytes, None]) -> None:
        self._answer = answer
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        await self._pieces.aclose()
        await self._answer.aclose()


class PassOn:
    """Sends requests to one server. `aclose` closes the connections."""

    def __init__(
        self,
        name: str,
        settings: RemoteSettings,
        origin: Any,
        headers: Mapping[str, str],
        tls: ssl.SSLContext | None,
        proxy: Proxy | None,
    ) -> None:
        """`origin` is the split URL of the server. `headers` are sent with every request, with the server's key."""
        import httpcore  # imported here, since most gateways start without needing it

        self._name = name
        self._settings = settings
        self._secure = origin.scheme == "https"
        self._host, self._port = (origin.hostname or "").encode(), origin.port
        self._base = origin.path.rstrip("/").encode()
        self._authority = origin.netloc.encode()
        self._fixed = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            proxy=httpcore.Proxy(proxy.url, headers=proxy.headers) if proxy else None,
            max_connections=min(CONNECTIONS, settings.max_connections),
            keepalive_expiry=50.0,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def send(self, request: PassedRequest) -> Reply:
        """Return the server's answer. A request that may be sent twice is sent again after a lost connection."""
        import httpcore

        may_repeat = isinstance(request.body, bytes) and (
            request.method in IDEMPOTENT or any(name == REPEATABLE for name, _ in request.headers)
        )
        try:
            return await self._send(request)
        except httpcore.ConnectError:
            if not isinstance(request.body, bytes):  # its pieces may be used up
                raise BackendFailed(f"The backend {self._name!r} cannot be reached.", code=UNREACHABLE) from None
        except (httpcore.ReadError, httpcore.WriteError, httpcore.RemoteProtocolError) as error:
            if not may_repeat:
                raise self._failure(error) from error
        except httpcore.TimeoutException as error:
            raise self._failure(error) from error
        try:
            return await self._send(request)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise self._failure(error) from error

    async def _send(self, request: PassedRequest) -> Reply:
        import httpcore

        settings = self._settings
        own = {name for name, _ in self._fixed}
        headers = [
            (b"host", self._authority),
            *[header for header in request.headers if header[0] not in own],
            *self._fixed,
        ]
        size = len(request.body) if isinstance(request.body, bytes) else request.size
        if size >= 0 and (size or request.method not in ("GET", "HEAD", "OPTIONS", "DELETE")):
            headers.append((b"content-length", b"%d" % size))
        elif size < 0:
            headers.append((b"transfer-encoding", b"chunked"))
        url = httpcore.URL(
            scheme=b"https" if self._secure else b"http",
            host=self._host,
            port=self._port,
            target=self._base + request.target,
        )
        idle_s = settings.idle_timeout_s
        times = {
            "connect": settings.connect_timeout_s,
            "pool": settings.connect_timeout_s,
            "read": idle_s,
            "write": idle_s,
        }
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                request.method.encode(), url, headers=headers, content=request.body, extensions={"timeout": times}
            )
        )
        if 300 <= answer.status < 400 and answer.status != 304:
            await answer.aclose()
            raise BackendFailed(f"The backend {self._name!r} answered with a redirect, which is never followed.")
        passed = passed_back([(name.lower(), value) for name, value in answer.headers])
        length = next((value for name, value in answer.headers if name.lower() == b"content-length"), b"")
        if length:
            passed = (*passed, (b"content-length", length))
        return Reply(answer.status, passed, pieces=_PassedPieces(answer, self._pieces(answer)), backend=self._name)

    async def _pieces(self, answer: Any) -> AsyncGenerator[bytes, None]:
        import httpcore

        ends = monotonic() + self._settings.total_timeout_s
        try:
            async for piece in answer.aiter_stream():
                yield piece
                if monotonic() > ends:
                    limit = f"{self._settings.total_timeout_s:g} s, its total_timeout_s"
                    raise BackendTimeout(f"The backend {self._name!r} did not finish its answer within {limit}.")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise self._failure(error, "broke off in the middle of its answer") from error
        finally:
            await answer.aclose()

    def _failure(self, error: Exception, what: str = "closed the connection without an answer") -> RequestError:
        import httpcore

        match error:
            case httpcore.PoolTimeout():
                text = f"All connections to the backend {self._name!r} are in use."
                return NotReady(text, code="backend_busy", retry_after_s=1.0)
            case httpcore.ConnectError() | httpcore.ConnectTimeout():
                return BackendFailed(f"The backend {self._name!r} cannot be reached.", code=UNREACHABLE)
            case httpcore.TimeoutException():
                return BackendTimeout(
                    f"The backend {self._name!r} sent nothing for {self._settings.idle_timeout_s:g} s."
                )
        return AnswerLost(f"The backend {self._name!r} {what}.")
