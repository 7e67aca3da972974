"""The table of kinds. Each kind in the configuration, such as `kind = "openai"`, has an entry in this table.

The value of an entry has the form `module:ATTRIBUTE` and points to an `AdapterKind`. A module is imported when its kind
is first used, so a gateway with remote backends never loads torch. Other packages add kinds as entry points in the
groups `foreword.backends`, `foreword.embedders`, `foreword.stores`, `foreword.rerankers` and `foreword.state`.
"""

import importlib
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.errors import Problem

BUILT_IN: dict[str, dict[str, str]] = {
    "backends": {
        "openai": "gateway.backends.remote:KIND",
        "anthropic": "gateway.backends.anthropic:KIND",
        "azure": "gateway.backends.providers.azure:KIND",
        "bedrock": "gateway.backends.providers.bedrock:KIND",
        "gemini": "gateway.backends.providers.gemini:KIND",
        "llamacpp": "gateway.backends.local.llamacpp:KIND",
        "torch": "gateway.backends.local.torch_engine.backend:KIND",
        "embedder": "gateway.backends.local.embedder:KIND",
        "scripted": "gateway.backends.local.scripted:KIND",
    },
    "embedders": {
        "sentence": "gateway.context.embedding.sentence:KIND",
    },
    "stores": {
        "chroma": "gateway.context.store.chroma:KIND",
        "exact": "gateway.context.store.exact:KIND",
    },
    "rerankers": {
        "maxsim": "gateway.context.embedding.maxsim:KIND",
        "http": "gateway.backends.rerank:KIND",
    },
    "state": {
        "memory": "gateway.state.memory:KIND",
        "redis": "gateway.state.redis:KIND",
    },
}


class AdapterKind(Struct, frozen=True):
    """One kind of adapter: the struct of its settings, and the functions that build and check it.

    `build(name, settings, parts)` gets the name of the table, its settings, and shared parts (`adapters.Parts`).

    `check(settings, root)` finds mistakes that types cannot show, such as a missing model file. It returns a `Problem`
    for each mistake, with the key of the setting as `where`. `check` must be fast and must not import heavy libraries.
    Relative paths start at `root`.
    """

    settings: type[Struct]
    build: Callable[..., Any]
    check: Callable[[Any, Path], Iterable[Problem]] = lambda _settings, _root: ()


class UnknownKind(LookupError):
    def __init__(self, group: str, kind: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown kind {kind!r}; known: {', '.join(sorted(known))}")


def find(group: str, kind: str) -> AdapterKind:
    """Find a kind by its name. Raises `UnknownKind`, or `ImportError` if a package is not installed."""
    path = known(group).get(kind)
    if path is None:
        raise UnknownKind(group, kind, known(group))
    module, _, attribute = path.partition(":")
    adapter_kind = getattr(importlib.import_module(module), attribute)
    if not isinstance(adapter_kind, AdapterKind):
        raise TypeError(f"{path} is not an AdapterKind")
    return adapter_kind


def known(group: str) -> dict[str, str]:
    """Return the kinds of a group: a mapping from names to `module:ATTRIBUTE`. A built-in kind takes precedence over
    one of the same name from another package."""
    return {**{point.name: point.value for point in entry_points(group=f"foreword.{group}")}, **BUILT_IN[group]}
