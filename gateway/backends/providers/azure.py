"""Backend kind `azure`: OpenAI's models at Azure. Bytes pass through unchanged; the address and the key differ."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from gateway.ask import Ask
from gateway.backends.providers.fresh import Fresh
from gateway.backends.providers.tokens import FetchedToken, TokenSettings, check_tokens, is_installed, own_token
from gateway.backends.remote import SPOKEN, Remote
from gateway.backends.remote_settings import HostSettings, RemoteSettings, check_host
from gateway.errors import Problem
from gateway.ports import Headers, PassedRequest
from gateway.registry import AdapterKind
from gateway.settings.web_address import split_url

V1 = "v1"
UNAUTHORISED = 401
OF_DEPLOYMENTS = (b"audio", b"images")
"""The first parts of further paths that are below a deployment."""
BY_SECRET = ("tenant", "client_id", "client_secret")


class AzureSettings(TokenSettings, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "azure"`: OpenAI's models at Azure. A model's name is the name of its deployment."""

    base_url: str
    """The address of the resource, such as `https://NAME.openai.azure.com`."""
    api_key: str = ""
    """The key, sent as `api-key`. `env:NAME` stands for the value of the environment variable `NAME`."""
    api_version: str = V1
    """`v1`: requests go to `/openai/v1`. A date, such as `2024-10-21`: they go to `/openai/deployments/NAME`, with this
    `api-version`.
    """
    identity: Literal["none", "default", "managed", "secret"] = "none"
    """How a token of Entra ID is fetched. `managed`: as the managed identity of the machine, or of `client_id`.
    `secret`: with `tenant`, `client_id` and `client_secret`. `default`: from the environment, the machine or the
    Azure CLI. It needs the extra `azure`.
    """
    tenant: str = ""
    """The tenant for `identity = "secret"`."""
    client_id: str = ""
    """The application or the managed identity that fetches the token."""
    client_secret: str = ""
    """The application's secret for `identity = "secret"`. `env:NAME` stands for an environment variable."""
    authority: str = ""
    """The host that issues tokens, if it is not that of the public cloud, such as `login.microsoftonline.us`."""
    scope: str = "https://cognitiveservices.azure.com/.default"
    """The scope of the token."""
    room_field: str = "max_tokens"
    """The request field for the limit on the answer's length, if the gateway and not the client sets this limit.
    Reasoning models need `max_completion_tokens`.
    """
    responses: tuple[str, ...] | None = None
    """The models whose `/v1/responses` requests are sent to Azure's own endpoint, or `["*"]` for all. Those of other
    models are translated to chat completions. The default is all models with `api_version = "v1"`, else none.
    """


class Azure(Remote):
    """An Azure resource with OpenAI's models."""

    def __init__(self, name: str, settings: AzureSettings, root: Path) -> None:
        given = settings.responses
        if given is None:
            given = settings.models if settings.api_version == V1 else ()
        shared = {field: getattr(settings, field) for field in HostSettings.__struct_fields__}
        shared["base_url"] = settings.base_url.rstrip("/") + ("/openai/v1" if settings.api_version == V1 else "/openai")
        super().__init__(name, RemoteSettings(**shared, room_field=settings.room_field, responses=given))
        self._version = "" if settings.api_version == V1 else f"api-version={quote(settings.api_version)}"
        self._deployments = urlsplit(shared["base_url"]).path + "/deployments/"
        fetch = own_token(settings, root) or _entra_token(settings)
        self._token = Fresh(fetch, f"token for the backend {name!r}") if fetch else None

    def credentials(self) -> dict[str, str]:
        return {"api-key": self._settings.api_key} if self._settings.api_key else {}

    def path(self, ask: Ask, model: str) -> bytes:
        own = super().path(ask, model)
        if not self._version:
            return own
        if ask.endpoint in SPOKEN:
            own = f"{self._deployments}{quote(model, safe='')}/{ask.endpoint}".encode()
        return own + b"?" + self._version.encode()

    def passed_target(self, request: PassedRequest) -> bytes:
        """Return the target of a request that passes. With a dated version, the path or the query names the
        deployment, as far as the request names a model.
        """
        if not self._version:
            return request.target
        path, _, query = request.target.partition(b"?")
        parts = [*query.split(b"&"), self._version.encode()]
        family = path.split(b"/")[1]
        if family == b"realtime":
            kept = [part for part in query.split(b"&") if not part.startswith(b"model=")]
            parts = [
                *kept,
                self._version.encode(),
                *([b"deployment=" + _quoted(request.model)] if request.model else []),
            ]
        elif request.model and family in OF_DEPLOYMENTS:
            path = b"/deployments/" + _quoted(request.model) + path
        return path + b"?" + b"&".join(filter(None, parts))

    async def fresh_headers(self, method: str, path: bytes, content: bytes) -> Headers:
        if self._token is None:
            return ()
        return ((b"authorization", b"Bearer " + (await self._token.get()).encode()),)

    def forget_refused(self, status: int) -> None:
        if status == UNAUTHORISED and self._token is not None:
            self._token.drop()

    async def ping(self, path: str) -> int:
        # without its version, Azure answers any path of its API with 404, which tells nothing
        is_of_the_api = self._version and not path.startswith("/")
        return await super().ping(f"{path}{'&' if '?' in path else '?'}{self._version}" if is_of_the_api else path)

    async def manage(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        return await super().manage(method, path, "&".join(filter(None, (query, self._version))), body)


def _quoted(model: str) -> bytes:
    return quote(model, safe="").encode()


def _entra_token(settings: AzureSettings) -> Callable[[], FetchedToken] | None:
    """Return the function that fetches a token of Entra ID, or None if the settings name no identity."""
    if settings.identity == "none":
        return None
    credential: Any = None

    def fetch() -> FetchedToken:
        nonlocal credential
        # kept for the next token, and imported here because the import takes 0.1 s
        credential = credential or _credential(settings)
        token = credential.get_token(settings.scope)
        return token.token, float(token.expires_on)

    return fetch


def _credential(settings: AzureSettings) -> Any:
    from azure import identity

    # a private cloud's host is unknown to the public one, which would otherwise be asked about it
    host: dict[str, Any] = {"disable_instance_discovery": True} if settings.authority else {}
    host |= {"authority": settings.authority} if settings.authority else {}
    if settings.identity == "managed":
        return identity.ManagedIdentityCredential(client_id=settings.client_id or None)
    if settings.identity == "secret":
        return identity.ClientSecretCredential(settings.tenant, settings.client_id, settings.client_secret, **host)
    return identity.DefaultAzureCredential(**host)


def check(settings: AzureSettings, root: Path) -> Iterable[Problem]:
    yield from check_host(settings, root, versioned=False)
    yield from check_tokens(settings, root)
    if "/openai" in split_url(settings.base_url).path:
        yield Problem("base_url", "must end before /openai", "The gateway adds /openai/v1 or /openai/deployments.")
    if settings.identity != "none" and (settings.api_key or settings.token_command or settings.token_file):
        yield Problem("identity", "cannot be used together with a key or another token", "Keep one of them.")
    if settings.identity != "none" and not is_installed("azure.identity"):
        yield Problem("identity", "needs the package azure-identity", "Run pip install 'foreword[azure]'.")
    if settings.identity == "secret":
        for field in BY_SECRET:
            if not getattr(settings, field):
                yield Problem(field, 'is required for identity = "secret"')
    if not settings.api_version:
        yield Problem("api_version", "is empty", f'Write "{V1}", or a date such as "2024-10-21".')


def build(name: str, settings: AzureSettings, parts: Any) -> Azure:
    return Azure(name, settings, parts.settings.root)


KIND = AdapterKind(AzureSettings, build, check)
