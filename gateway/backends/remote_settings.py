"""The settings of a remote backend, and their checks."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult

from msgspec import field

from gateway.backends.network_settings import NetworkSettings, check_network
from gateway.backends.probe_settings import ProbeSettings, check_probe
from gateway.backends.routing.aliases import matches
from gateway.errors import Problem
from gateway.settings.numbers import Amount, Count, Seconds
from gateway.settings.web_address import is_plain, split_url

OURS = ("host", "content-length", "transfer-encoding", "connection")
OPENAI = "api.openai.com"
ENDPOINTS = ("/completions", "/embeddings", "/responses", "/models", "/messages")
VERSION = re.compile(r"/v[0-9]")
"""Finds a version in a path, such as `/v1`, `/openai/v1` or `/v1beta/openai`."""


class HostSettings(NetworkSettings, frozen=True, forbid_unknown_fields=True):
    """The settings of every remote server, whatever its API."""

    base_url: str
    """The address of the server, up to and including `/v1`."""
    models: tuple[str, ...] = ()
    """The names of the backend's models. A name may end in `*`. `["*"]` stands for every name that no other backend
    lists in full.
    """
    api_key: str = ""
    """The key, sent as `Authorization: Bearer ...`. `env:NAME` stands for the value of the environment variable `NAME`.
    """
    headers: dict[str, str] = field(default_factory=dict)
    """More headers for every request, such as `OpenAI-Organization`."""
    window_tokens: int = 0
    """The context window of the models in tokens. 0: unknown. The backend itself must then refuse inputs that are
    too long.
    """
    connect_timeout_s: Seconds = 5.0
    """The longest wait for a new or a free connection."""
    idle_timeout_s: Seconds = 120.0
    """The longest wait for the first byte, and between two pieces of a stream. The timeout is checked once a second."""
    total_timeout_s: Seconds = 1800.0
    """The longest time from the request to the answer's last byte. This limit applies to streams too."""
    max_answer_mb: Count = 64
    """The maximum size of an answer. A larger answer ends with an error. Embeddings of 2,048 texts as decimal numbers
    can take 100 MB.
    """
    max_connections: Count = 1000
    """The maximum number of connections. Further requests wait for `connect_timeout_s`, and then get 503 with
    `retry-after`.
    """
    max_waiting: Amount = 10_000
    """The maximum number of requests that wait for a connection. Any further request gets 503 with `retry-after` at
    once.
    """
    sampling: tuple[Literal["max_tokens", "temperature", "stop"], ...] = ()
    """The decoder settings that a template may add to a request if the client sets none. By default a template may add
    none, since some models refuse such settings. vLLM, llama.cpp and Ollama accept `max_tokens`, `temperature` and
    `stop`.
    """
    probe: ProbeSettings | None = None
    """`[backends.x.probe]`: ask the backend from time to time whether it works, and send requests elsewhere while it
    does not; see `docs/routing.md`. Default: no probes."""


class RemoteSettings(HostSettings, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "openai"`: OpenAI, vLLM, llama.cpp, Ollama, or another gateway."""

    room_field: str = "max_tokens"
    """The request field for the limit on the answer's length, if the gateway and not the client sets this limit.
    OpenAI's reasoning models need `max_completion_tokens`.
    """
    done_marker: bool = True
    """Whether the backend's streams end with `[DONE]`. If so, a stream without this mark counts as broken."""
    responses: tuple[str, ...] | None = None
    """The models for which the backend serves `/v1/responses` itself, or `["*"]` for all. Their requests and answers
    pass through unchanged. For other models, the gateway translates to and from chat completions. The default is all
    models at OpenAI's own address, and none elsewhere.
    """


def speakers(settings: RemoteSettings) -> tuple[str, ...]:
    """Return the names and patterns of the models for which the backend serves `/v1/responses` itself."""
    named = settings.responses
    if named is None:
        named = ("*",) if split_url(settings.base_url).hostname == OPENAI else ()
    inside = [name for name in settings.models if any(matches(name, pattern) for pattern in named)]
    return (*inside, *[name for name in named if name not in inside and _offered(name, settings)])


def _offered(name: str, settings: RemoteSettings) -> bool:
    return any(matches(name, pattern) for pattern in settings.models)


def check(settings: RemoteSettings, root: Path) -> Iterable[Problem]:
    yield from check_host(settings, root)
    for name in settings.responses or ():
        if not _offered(name, settings) and not any(matches(model, name) for model in settings.models):
            yield Problem("responses", f"{name!r} is not among the models", "Name it there too.")


def check_host(settings: HostSettings, _root: Path, *, versioned: bool = True) -> Iterable[Problem]:
    """Check the settings that every remote server has. With `versioned`, the address must end in a version."""
    parts = split_url(settings.base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        remedy = "For example https://api.openai.com/v1"
        yield Problem("base_url", f"{settings.base_url!r} is not an http(s) URL", remedy)
    elif not is_plain(settings.base_url):
        remedy = "Write blanks as %20, and a host beyond ASCII as xn--..."
        yield Problem("base_url", f"{settings.base_url!r} has a blank or a letter that no request may hold", remedy)
    elif not _usable_port(parts):
        yield Problem("base_url", f"{settings.base_url!r} has no usable port")
    elif parts.path.rstrip("/").endswith(ENDPOINTS):
        yield Problem("base_url", "names one endpoint; base_url is the part that all endpoints share", "End it in /v1.")
    elif versioned and not parts.path.endswith("/") and not VERSION.search(parts.path):
        remedy = f"Write {settings.base_url}/v1, or end it in / if this server's API is really there."
        yield Problem("base_url", f"{settings.base_url!r} does not end in /v1", remedy)
    if parts.query or parts.fragment:
        yield Problem("base_url", "must end with the path: a query would not be sent")
    if parts.username or parts.password:
        yield Problem("base_url", "must not hold credentials", "Use api_key.")
    for key in settings.headers:
        if key.lower() in OURS:
            yield Problem(f"headers.{key}", "is set by the gateway itself", "Leave it out.")
    for key, value in {**settings.headers, "api_key": settings.api_key}.items():
        if any(mark in key + value for mark in "\r\n\0"):
            yield Problem(key, "must not hold line breaks")
    yield from check_probe(settings.probe)
    yield from check_network(settings, settings.base_url)
    if not settings.models:
        yield Problem("models", "is empty, so no request reaches it", 'For example models = ["*"].')


def _usable_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False
