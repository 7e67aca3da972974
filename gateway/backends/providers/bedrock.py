"""Backend kind `bedrock`: models at Amazon Bedrock, by its Converse API.

botocore signs the requests and decodes the streams. The requests themselves are sent like those of every other backend.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from gateway.backends.probe_settings import ProbeSettings
from gateway.backends.providers.event_stream import decoder
from gateway.backends.providers.fresh import Fresh
from gateway.backends.providers.tokens import is_installed
from gateway.backends.providers.translated_remote import ProviderRefusal, ProviderStream, TranslatedRemote
from gateway.backends.remote_settings import HostSettings, RemoteSettings, check_host
from gateway.errors import Problem
from gateway.exchange import Exchange
from gateway.ports import Headers
from gateway.registry import AdapterKind
from gateway.wire.chat import encode
from gateway.wire.chat.chunks import CompletionHead
from gateway.wire.converse import as_completion, errors
from gateway.wire.converse.of_chat import converse_body
from gateway.wire.messages.losses import Losses

SERVICE = "bedrock"
SIGNED_TYPE = "application/json"
USED_S = 540.0
"""How long keys are used. botocore renews keys that expire ten minutes before they do, so they are valid for longer."""
FOR_EVER_S = 10 * 365 * 86_400.0
HEADERS = "headers_to_sign"
"""The name under which a request's context keeps its headers."""
REFUSED = (401, 403)
USED_MODULES = ("auth", "awsrequest", "credentials", "eventstream")
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
NO_LIST = b'{"error":{"message":"Bedrock has no list of models here.","type":"invalid_request_error"}}'


class BedrockSettings(HostSettings, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "bedrock"`: models at Amazon Bedrock, by its Converse API. It needs the extra `bedrock`."""

    base_url: str = ""
    """The address. The default is `https://bedrock-runtime.REGION.amazonaws.com`."""
    region: str = ""
    """The region, such as `eu-central-1`. It is a part of the address and of each signature."""
    api_key: str = ""
    """A key of Amazon Bedrock, sent as `Authorization: Bearer ...`. With a key, requests are not signed. `env:NAME`
    stands for the value of the environment variable `NAME`.
    """
    access_key_id: str = ""
    """The access key that signs requests. By default botocore finds it: in the environment, in AWS's files, or from the
    machine's role.
    """
    secret_access_key: str = ""
    """The secret of `access_key_id`. `env:NAME` stands for the value of the environment variable `NAME`."""
    session_token: str = ""
    """The session token of temporary keys."""
    profile: str = ""
    """The profile in AWS's files, if botocore finds the keys."""


class AwsKeys(NamedTuple):
    """The keys that sign a request."""

    access_key: str
    secret_key: str
    token: str


class Bedrock(TranslatedRemote):
    """Models at Amazon Bedrock."""

    def __init__(self, name: str, settings: BedrockSettings) -> None:
        shared = {field: getattr(settings, field) for field in HostSettings.__struct_fields__}
        shared["base_url"] = address_of(settings)
        super().__init__(name, RemoteSettings(**shared, responses=()))
        self._region = settings.region
        parts = urlsplit(shared["base_url"])
        self._host = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.rstrip("/")
        fetch = None if settings.api_key else _keys(settings)
        self._keys = Fresh(fetch, f"keys for the backend {name!r}") if fetch else None
        self._signer: Any = None
        self._signs_with: AwsKeys | None = None

    async def open(self) -> None:
        # loaded now and on a worker thread, since loading takes 0.1 s
        await asyncio.to_thread(lambda: [import_module(f"botocore.{name}") for name in USED_MODULES])
        await super().open()

    def address(self, exchange: Exchange, model: str) -> bytes:
        action = "converse-stream" if exchange.ask.stream else "converse"
        return f"{self._prefix}/model/{quote(model, safe='')}/{action}".encode()

    async def fresh_headers(self, method: str, path: bytes, content: bytes) -> Headers:
        if self._keys is None:
            return ()
        return self._signature(await self._keys.get(), method, self._host + path.decode(), content)

    def _signature(self, keys: AwsKeys, method: str, url: str, content: bytes) -> Headers:
        """Sign a request. This takes about 60 us, and 25 us more for each 32 kB, whose SHA-256 is a part of it."""
        if self._signer is None or self._signs_with != keys:
            self._signer, self._signs_with = _signer(keys, self._region), keys
        requests: Any = import_module("botocore.awsrequest")
        known = {"host": self._signer.host} if self._signer.host else {}
        request = requests.AWSRequest(method, url, data=content, headers={"content-type": SIGNED_TYPE, **known})
        self._signer.add_auth(request)
        return tuple(
            [
                (name.lower().encode(), value.encode())
                for name, value in request.headers.items()
                if name.lower() not in ("content-type", "host")
            ]
        )

    def translated(self, exchange: Exchange, model: str, losses: Losses) -> bytes:
        return converse_body(encode.request(exchange, model), model, losses)

    def completion(self, body: bytes, exchange: Exchange, head: CompletionHead, losses: Losses) -> bytes:
        return as_completion.whole(body, head, losses)

    def stream(self, head: CompletionHead, losses: Losses) -> ProviderStream:
        return as_completion.ConverseStream(head, losses, decoder())

    def refused(self, body: bytes, status: int, headers: Headers) -> ProviderRefusal:
        return errors.refusal(body, status, dict(headers))

    def forget_refused(self, status: int) -> None:
        if status in REFUSED and self._keys is not None:
            self._keys.drop()

    async def manage(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Return 404: the list of models is at another host, for which a key of Bedrock need not be valid."""
        return 404, NO_LIST


def address_of(settings: BedrockSettings) -> str:
    return settings.base_url or f"https://bedrock-runtime.{settings.region}.amazonaws.com/"


def _credentials(keys: AwsKeys) -> Any:
    credentials: Any = import_module("botocore.credentials")
    return credentials.Credentials(keys.access_key, keys.secret_key, keys.token or None)


def _signer(keys: AwsKeys, region: str) -> Any:
    """Return the library's signer, which here collects the headers of a request once and the host's name once.

    The library does both twice a request, which is a third of its time.
    """
    auth: Any = import_module("botocore.auth")

    class Signer(auth.SigV4Auth):  # type: ignore[misc]  # a library without types
        host = ""
        """The header `host` as it is signed, once a request was signed."""

        def headers_to_sign(self, request: Any) -> Any:
            if HEADERS not in request.context:
                request.context[HEADERS] = super().headers_to_sign(request)
                self.host = request.context[HEADERS]["host"]
            return request.context[HEADERS]

    return Signer(_credentials(keys), SERVICE, region)


def _keys(settings: BedrockSettings) -> Callable[[], tuple[AwsKeys, float]]:
    """Return the function that fetches the keys."""
    if settings.access_key_id:
        own = AwsKeys(settings.access_key_id, settings.secret_access_key, settings.session_token)
        return lambda: (own, time.time() + FOR_EVER_S)
    credentials: Any = None

    def fetch() -> tuple[AwsKeys, float]:
        nonlocal credentials
        # keys that expire renew themselves; others are read again, since a file may have new ones
        if not hasattr(credentials, "refresh_needed"):
            library: Any = import_module("botocore.session")
            credentials = library.Session(profile=settings.profile or None).get_credentials()
        if credentials is None:
            raise NoAwsKeys("neither the environment nor AWS's files nor the machine has keys")
        frozen = credentials.get_frozen_credentials()
        return AwsKeys(frozen.access_key, frozen.secret_key, frozen.token or ""), time.time() + USED_S

    return fetch


class NoAwsKeys(Exception):
    """botocore finds no keys."""


def check(settings: BedrockSettings, root: Path) -> Iterable[Problem]:
    if _REGION.fullmatch(settings.region) is None:
        yield Problem("region", f"{settings.region!r} is not a region", 'For example region = "us-east-1".')
        return
    given = msgspec.structs.replace(settings, base_url=address_of(settings))
    yield from check_host(given, root, versioned=False)
    if not is_installed("botocore"):
        yield Problem("kind", "needs the package botocore", "Run pip install 'foreword[bedrock]'.")
    if settings.probe is not None and not settings.probe.model and settings.probe.path == ProbeSettings().path:
        remedy = 'Set probe.model to ask a model for one token, or probe.path, such as "/ping".'
        yield Problem("probe", "needs a model or a path, since Bedrock has no list of models at this address", remedy)
    if settings.api_key and (settings.access_key_id or settings.profile):
        yield Problem("api_key", "cannot be used together with keys that sign requests", "Keep one of the two.")
    if bool(settings.access_key_id) != bool(settings.secret_access_key):
        yield Problem("access_key_id", "works only together with secret_access_key", "Set both, or none.")
    if settings.access_key_id and settings.profile:
        yield Problem("profile", "cannot be used together with access_key_id", "Keep one of the two.")


def build(name: str, settings: BedrockSettings, _parts: object) -> Bedrock:
    return Bedrock(name, settings)


KIND = AdapterKind(BedrockSettings, build, check)
