"""Backend kind `anthropic`: Anthropic's API, or a server with the same API.

Bytes pass through unchanged. `chat_over_messages.py` lets a backend of this kind answer chat completions and responses
too.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.ask import Ask, Endpoint
from gateway.backends.remote import Remote
from gateway.backends.remote_settings import HostSettings, RemoteSettings, check_host
from gateway.errors import Problem
from gateway.exchange import Exchange
from gateway.ports import Headers, ModelCard, Reply
from gateway.registry import AdapterKind
from gateway.settings.numbers import Count
from gateway.wire.messages.models import as_openai

VERSION = b"anthropic-version"
PRINTABLE = re.compile(rb"[!-~]+")
SERVED = (Endpoint.MESSAGES, Endpoint.TOKEN_COUNT)
MOST_LISTED = "limit=1000"
"""The query string of a request for the list of models. Without this query string, the API returns only 20 models."""


class AnthropicSettings(HostSettings, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "anthropic"`: Anthropic's API, or another server with `/v1/messages`."""

    base_url: str = "https://api.anthropic.com/v1"
    """The address of the server, up to and including `/v1`."""
    api_key: str = ""
    """The key, sent as `x-api-key`. `env:NAME` stands for the value of the environment variable `NAME`."""
    version: str = "2023-06-01"
    """The value of the header `anthropic-version` if the client does not send this header."""
    answer_tokens: Count = 8192
    """The longest answer, in tokens, to a chat completion request that sets no limit. Anthropic's API requires a limit.
    """


class Anthropic(Remote):
    """A server of Anthropic's API."""

    def __init__(self, name: str, settings: AnthropicSettings) -> None:
        shared = {field: getattr(settings, field) for field in HostSettings.__struct_fields__}
        super().__init__(name, RemoteSettings(**shared, responses=()))
        self._answer_tokens = settings.answer_tokens
        self._version = settings.version.encode()

    def models(self) -> Sequence[ModelCard]:
        window, sampling, longest = self._settings.window_tokens, self._settings.sampling, self._answer_tokens
        names = self._settings.models
        return [ModelCard(name, SERVED, window, sampling=sampling, answer_tokens=longest) for name in names]

    def credentials(self) -> dict[str, str]:
        return {"x-api-key": self._settings.api_key} if self._settings.api_key else {}

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        if not any(name == VERSION for name, _ in headers):
            headers = (*headers, (VERSION, self._version))
        return await super().send(exchange, model, headers)

    def path(self, ask: Ask, model: str) -> bytes:
        own = super().path(ask, model)
        return own + b"?" + ask.query_string if PRINTABLE.fullmatch(ask.query_string) else own

    def managing_headers(self) -> dict[str, str]:
        return {VERSION.decode(): self._version.decode(), **self.credentials()}

    async def manage(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Do the same as `Remote.manage`, but convert a list of models to OpenAI's form. The gateway lists the models
        of all backends in this form.
        """
        query = query or (MOST_LISTED if path == "models" else "")
        status, answer = await super().manage(method, path, query, body)
        return status, as_openai(answer) if status == 200 and path.startswith("models") else answer


def build(name: str, settings: AnthropicSettings, _parts: object) -> Anthropic:
    return Anthropic(name, settings)


def check(settings: AnthropicSettings, root: Path) -> Iterable[Problem]:
    yield from check_host(settings, root)
    if any(mark in settings.version for mark in "\r\n\0"):
        yield Problem("version", "must not hold line breaks")


KIND = AdapterKind(AnthropicSettings, build, check)
