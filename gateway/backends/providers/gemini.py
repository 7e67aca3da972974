"""Backend kind `gemini`: Google's Gemini API, or the same models at Vertex AI."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from gateway.ask import Endpoint
from gateway.backends.providers.fresh import Fresh
from gateway.backends.providers.tokens import FetchedToken, TokenSettings, check_tokens, is_installed, own_token
from gateway.backends.providers.translated_remote import ProviderRefusal, ProviderStream, TranslatedRemote
from gateway.backends.remote_settings import HostSettings, RemoteSettings, check_host
from gateway.errors import Problem
from gateway.exchange import Exchange
from gateway.ports import Headers
from gateway.registry import AdapterKind
from gateway.wire.chat import encode
from gateway.wire.chat.chunks import CompletionHead
from gateway.wire.gemini import as_completion, embeddings, errors, models
from gateway.wire.gemini.of_chat import generate_body
from gateway.wire.messages.losses import Losses

DEVELOPER = "https://generativelanguage.googleapis.com/v1beta"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
UNAUTHORISED = 401
FETCHED_S = 3600.0


class GeminiSettings(TokenSettings, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "gemini"`: Google's Gemini API, or the same models at Vertex AI."""

    base_url: str = ""
    """The address up to `/models`. The default is Google's, or Vertex AI's if `project` is set."""
    api_key: str = ""
    """The key, sent as `x-goog-api-key`. `env:NAME` stands for the value of the environment variable `NAME`."""
    project: str = ""
    """The project at Vertex AI. Without a key, a command or a file for the token, Google's library finds the
    credentials. It needs the extra `vertex`.
    """
    location: str = "global"
    """The location at Vertex AI."""
    credentials_file: str = ""
    """A file with the key of a service account. The default is what Google's library finds, for example through
    `GOOGLE_APPLICATION_CREDENTIALS`.
    """


class Gemini(TranslatedRemote):
    """Google's models, by their native API."""

    served = (Endpoint.CHAT, Endpoint.EMBEDDING)

    def __init__(self, name: str, settings: GeminiSettings, root: Path) -> None:
        shared = {field: getattr(settings, field) for field in HostSettings.__struct_fields__}
        shared["base_url"] = address_of(settings)
        super().__init__(name, RemoteSettings(**shared, responses=()))
        self._models_path = urlsplit(shared["base_url"]).path.rstrip("/") + "/models/"
        self._predicts = bool(settings.project)
        fetch = own_token(settings, root)
        if fetch is None and settings.project and not settings.api_key:
            fetch = _google_token(settings, root)
        self._token = Fresh(fetch, f"token for the backend {name!r}") if fetch else None

    def credentials(self) -> dict[str, str]:
        return {"x-goog-api-key": self._settings.api_key} if self._settings.api_key else {}

    async def fresh_headers(self, method: str, path: bytes, content: bytes) -> Headers:
        if self._token is None:
            return ()
        return ((b"authorization", b"Bearer " + (await self._token.get()).encode()),)

    def address(self, exchange: Exchange, model: str) -> bytes:
        if exchange.ask.endpoint is Endpoint.EMBEDDING:
            action = "predict" if self._predicts else "batchEmbedContents"
        else:
            action = "streamGenerateContent?alt=sse" if exchange.ask.stream else "generateContent"
        return f"{self._models_path}{quote(model.removeprefix('models/'), safe='')}:{action}".encode()

    def translated(self, exchange: Exchange, model: str, losses: Losses) -> bytes:
        if exchange.ask.endpoint is not Endpoint.EMBEDDING:
            return generate_body(encode.request(exchange, model), model, losses)
        body = encode.body(exchange, model)
        if self._predicts:
            return embeddings.predict_body(body, losses)
        return embeddings.batch_body(body, model, losses)

    def completion(self, body: bytes, exchange: Exchange, head: CompletionHead, losses: Losses) -> bytes:
        if exchange.ask.endpoint is Endpoint.EMBEDDING:
            return embeddings.list_of(body, exchange.ask.raw, head.model, losses)
        return as_completion.whole(body, head, losses)

    def stream(self, head: CompletionHead, losses: Losses) -> ProviderStream:
        return as_completion.GeminiStream(head, losses)

    def refused(self, body: bytes, status: int, headers: Headers) -> ProviderRefusal:
        return errors.refusal(body, status)

    def forget_refused(self, status: int) -> None:
        if status == UNAUTHORISED and self._token is not None:
            self._token.drop()

    async def manage(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Do the same as `Remote.manage`, but convert a list of models to OpenAI's form."""
        status, answer = await super().manage(method, path, query or "pageSize=1000", body)
        return status, models.as_openai(answer) if status == 200 and path.startswith("models") else answer


def address_of(settings: GeminiSettings) -> str:
    """Return the address up to `/models`."""
    if settings.base_url or not settings.project:
        return (settings.base_url or DEVELOPER).rstrip("/")
    place = settings.location
    host = "aiplatform.googleapis.com" if place == "global" else f"{place}-aiplatform.googleapis.com"
    return f"https://{host}/v1/projects/{settings.project}/locations/{place}/publishers/google"


def _google_token(settings: GeminiSettings, root: Path) -> Callable[[], FetchedToken]:
    """Return the function that fetches a token with Google's library."""
    credentials: Any = None

    def fetch() -> FetchedToken:
        nonlocal credentials
        # imported here, because most gateways have no such backend
        auth: Any = import_module("google.auth")
        requests: Any = import_module("google.auth.transport.requests")
        if credentials is None:
            if settings.credentials_file:
                file = str(root / settings.credentials_file)
                account: Any = import_module("google.oauth2.service_account")
                credentials = account.Credentials.from_service_account_file(file, scopes=[SCOPE])
            else:
                credentials, _ = auth.default(scopes=[SCOPE])
        credentials.refresh(requests.Request())
        expiry = credentials.expiry
        expires_s = expiry.replace(tzinfo=UTC).timestamp() if expiry is not None else time.time() + FETCHED_S
        return credentials.token, expires_s

    return fetch


def check(settings: GeminiSettings, root: Path) -> Iterable[Problem]:
    yield from check_host(with_address(settings), root, versioned=False)
    yield from check_tokens(settings, root)
    is_own = bool(settings.api_key or settings.token_command or settings.token_file)
    if settings.credentials_file and not (root / settings.credentials_file).is_file():
        yield Problem("credentials_file", f"there is no file {settings.credentials_file!r}")
    if settings.credentials_file and (is_own or not settings.project):
        remedy = "Leave out the key or the token, and set project."
        yield Problem("credentials_file", "is only used for Vertex AI, without a key or a token", remedy)
    if settings.project and not is_own and not is_installed("google.auth"):
        yield Problem("project", "needs the package google-auth", "Run pip install 'foreword[vertex]'.")
    for field in ("project", "location"):
        if any(mark in getattr(settings, field) for mark in "/?# \r\n"):
            yield Problem(field, "must be a name, without slashes and blanks")


def with_address(settings: GeminiSettings) -> GeminiSettings:
    return replace(settings, base_url=address_of(settings))


def build(name: str, settings: GeminiSettings, parts: Any) -> Gemini:
    return Gemini(name, settings, parts.settings.root)


KIND = AdapterKind(GeminiSettings, build, check)
