"""Checks that involve several tables of the configuration, such as whether keys protect an open port."""

import os
import re
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path

from gateway.client_keys import key_problems
from gateway.context.reading.recognition import NotRecognised, Recognition, missing_languages
from gateway.errors import Problem
from gateway.settings.models import SpreadStrategy
from gateway.settings.prompt import PromptTable
from gateway.settings.server import is_loopback
from gateway.settings.tables import Settings

ANY_ORIGIN = "*"
LOCAL_KINDS = ("llamacpp", "torch", "scripted", "embedder", "bedrock", "gemini")
"""The kinds of backends to which only the gateway's own endpoints lead."""
ORIGIN = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s?#@*]+")


def server_problems(settings: Settings) -> list[Problem]:
    """Return mistakes that involve several tables: an open port without keys, several workers without a shared state,
    missing folders.
    """
    file, server = settings.file, settings.server
    problems = []
    if not settings.backends and not any(name.startswith("backends.") for name in settings.broken):
        remedy = 'Add a table such as [backends.local] with kind = "llamacpp".'
        problems.append(Problem(f"{file} [backends]", "there is no backend, so no request can be answered", remedy))
    if not _resolves(server.host):
        problems.append(
            Problem(f"{file} [server] host", f"{server.host!r} is neither an address nor a name that can be resolved")
        )
    elif not is_loopback(server.host) and not settings.keys:
        remedy = "Add a [keys.name] table, or listen on 127.0.0.1."
        problems.append(
            Problem(f"{file} [server] host", f"{server.host} is open to others and there is no key", remedy)
        )
    if server.workers > 1 and settings.state.kind == "memory":
        remedy = 'Add [state] kind = "redis" with a url.'
        problems.append(Problem(f"{file} [server] workers", "several workers need a shared state", remedy))
    if settings.store is not None and settings.embedder is None and "embedder" not in settings.broken:
        remedy = 'Add [embedder] with kind = "sentence".'
        problems.append(Problem(f"{file} [store]", "a store needs an embedder", remedy))
    # a folder that the file names must exist; the default folder must exist only if there is an embedder
    is_needed = settings.embedder is not None or settings.prompt.templates != PromptTable().templates
    for folder in settings.prompt.templates if is_needed else ():
        if not (settings.root / folder).is_dir():
            where, what = f"{file} [prompt] templates", f"{folder!r} is not a folder"
            problems.append(Problem(where, what, f"The path is relative to {settings.root}."))
    if settings.embedder is None and "embedder" not in settings.broken:
        problems += [
            Problem(
                f"{file} [models.{name}] strategy", "intent needs the classifier", 'Add [embedder] kind = "sentence".'
            )
            for name, model in settings.models.items()
            if model.strategy is SpreadStrategy.INTENT
        ]
    if settings.records.policy == "none":
        problems += [
            Problem(f"{file} [models.{name}] mirror", 'has no effect with [records] policy = "none"', "Leave it out.")
            for name, model in settings.models.items()
            if model.mirror is not None
        ]
    problems += _path_problems(settings)
    problems += _mcp_problems(settings)
    problems += _recognition_problems(settings)
    return [
        *problems,
        *key_problems(file, settings.keys, settings.broken),
        *_origin_problems(settings),
        *_access_problems(settings),
    ]


def _path_problems(settings: Settings) -> list[Problem]:
    """Return the mistakes in `[routing] paths`: paths that are not below /v1, and unknown backends."""
    problems = []
    for path, backend in settings.routing.paths.items():
        where = f"{settings.file} [routing.paths] {path!r}"
        if not path.startswith("/v1/") or "*" in path[:-1]:
            problems.append(Problem(where, "is no path below /v1", 'For example "/v1/audio/*"; only the end may be *.'))
        kind = settings.backends[backend].kind if backend in settings.backends else ""
        if not kind and f"backends.{backend}" not in settings.broken:
            known = ", ".join(sorted(settings.backends)) or "none"
            problems.append(Problem(where, f"no backend {backend!r}", f"Known: {known}."))
        elif kind in LOCAL_KINDS:
            problems.append(Problem(where, f"the backend {backend!r} is of kind {kind!r}, which has no other paths"))
    return problems


def _recognition_problems(settings: Settings) -> list[Problem]:
    """Return the mistakes in `[context] ocr`: no program, or no data for a language."""
    where, recognition = f"{settings.file} [context] ocr", Recognition(settings.context.ocr)
    if not recognition.languages:
        return []
    try:
        missing = missing_languages(recognition)
    except NotRecognised as error:
        return [Problem(where, str(error), "Install it, on Debian: apt-get install tesseract-ocr. Or leave ocr out.")]
    remedy = "On Debian: apt-get install tesseract-ocr-{}. `tesseract --list-langs` lists those that are there."
    return [
        Problem(where, f"tesseract has no data for {language!r}", remedy.format(language.replace("_", "-")))
        for language in missing
    ]


def _mcp_problems(settings: Settings) -> list[Problem]:
    """Return the mistakes in `[mcp.servers]`: no address, two addresses, unknown keys, or a missing library."""
    problems = []
    if settings.mcp.servers and find_spec("mcp") is None:
        what, remedy = "needs the package mcp, which is not installed", "Install it: pip install 'foreword[mcp]'."
        problems.append(Problem(f"{settings.file} [mcp.servers]", what, remedy))
    for name, server in settings.mcp.servers.items():
        where = f"{settings.file} [mcp.servers.{name}]"
        if bool(server.url) == bool(server.command):
            remedy = "url: a server that speaks HTTP. command: a program that the gateway runs."
            problems.append(Problem(where, "needs either url or command", remedy))
        if server.url and not server.url.startswith(("http://", "https://")):
            problems.append(Problem(f"{where} url", "must begin with http:// or https://"))
        known = {key.removeprefix("keys.") for key in settings.broken} | settings.keys.keys()
        problems += [
            Problem(f"{where} keys", f"there is no [keys.{key}]", f"Known: {', '.join(sorted(known)) or 'none'}.")
            for key in server.keys
            if key not in known
        ]
    return problems


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False


def _origin_problems(settings: Settings) -> list[Problem]:
    """Return the mistakes in `allowed_origins`: entries that are not origins, and `*` on a gateway without keys."""
    where, origins = f"{settings.file} [server] allowed_origins", settings.server.allowed_origins
    problems = [
        Problem(
            where, f"{origin!r} is not an origin", "Write scheme, host and port alone, such as https://app.example.com."
        )
        for origin in origins
        if origin != ANY_ORIGIN and not ORIGIN.fullmatch(origin)
    ]
    if ANY_ORIGIN in origins and not settings.keys:
        problems.append(Problem(where, "'*' without keys lets every web page use this gateway", "Name the origins."))
    return problems


def _access_problems(settings: Settings) -> Iterator[Problem]:
    """Yield the mistakes in `trusted_proxies` and `access_log`."""
    for proxy in settings.server.trusted_proxies:
        try:
            ip_network(proxy, strict=False)
        except ValueError:
            what, remedy = f"{proxy!r} is no address or network", "Write for example 127.0.0.1 or 10.0.0.0/8."
            yield Problem(f"{settings.file} [server] trusted_proxies", what, remedy)
    target = settings.access_log
    if not target or target == "stdout":
        return
    where, file = f"{settings.file} [telemetry] access_log", Path(target)
    if file.is_dir() or not file.parent.is_dir():
        what = f"{target} is a folder" if file.is_dir() else f"there is no folder {file.parent}"
        yield Problem(where, what, "Name a file in a folder that exists, or stdout.")
    elif not os.access(file if file.exists() else file.parent, os.W_OK):
        yield Problem(where, f"{target} cannot be written", "Let the user who starts the gateway write there.")
