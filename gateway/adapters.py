"""Builds the backends, the embedder, the vector store, the reranker and the hot state from their tables in the
configuration. No adapter is opened here.
"""

import difflib
from collections.abc import Container
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace

from gateway import registry
from gateway.backends.routing.aliases import Aliases
from gateway.backends.routing.broken import BrokenParts
from gateway.backends.routing.routes import Routes
from gateway.config_problems import server_problems
from gateway.context.embedding.batcher import Batcher
from gateway.context.store.catalog import Catalog, catalog_file
from gateway.context.store.collections import Collections
from gateway.errors import ConfigError, Problem
from gateway.ports import Backend, Embedder, HotState, Reranker, VectorStore
from gateway.records.policy import policy_problems
from gateway.settings.read import decode
from gateway.settings.tables import KindTable, Settings


class Parts(Struct):
    """Parts that several adapters may use. `embedder` is the configured embedder; it runs on its own worker thread."""

    settings: Settings
    embedder: Batcher | None = None


@runtime_checkable
class Rooted(Protocol):
    """Settings that hold paths."""

    def rooted(self, root: Path) -> object:
        """Return the settings with absolute paths. Relative paths start at `root`."""
        ...


class Adapters(Struct):
    """All adapters that the configuration names, built but not opened."""

    state: HotState
    backends: dict[str, Backend]
    routes: Routes
    embedder: Batcher | None = None
    collections: Collections | None = None


def problems_of(settings: Settings) -> list[Problem]:
    """Return the mistakes in the tables of all adapters. No adapter is opened and no file is written."""
    return build_adapters(settings)[1]


def build_adapters(settings: Settings) -> tuple[Adapters | None, list[Problem]]:
    problems = list(policy_problems(settings))
    parts = Parts(settings)
    state: HotState | None = build_adapter("state", "state", settings.state, parts, problems)
    store: VectorStore | None = None
    if settings.embedder is not None:
        embedder: Embedder | None = build_adapter("embedders", "embedder", settings.embedder, parts, problems)
        parts.embedder = Batcher(embedder) if embedder else None
    if settings.store is not None:
        store = build_adapter("stores", "store", settings.store, parts, problems)
    reranker = reranker_of(settings, parts, problems)
    backends: dict[str, Backend] = {}
    for name, table in settings.backends.items():
        backend = build_adapter("backends", name, table, parts, problems)
        if backend is not None:
            backends[name] = backend
    routing = settings.routing
    routes = Routes(
        settings.models,
        backends,
        routing.default,
        Aliases(routing.aliases, routing.unknown),
        settings.call_prices,
    )
    problems += routes.problems(settings.file, settings.refiner.model, _broken_parts(settings, backends))
    problems += server_problems(settings)
    if problems or state is None:
        return None, problems
    catalog = Catalog(catalog_file(settings.data_folder))
    collections = Collections(catalog, store, reranker, settings.context.rerank) if store else None
    return Adapters(state, backends, routes, parts.embedder, collections), []


def _broken_parts(settings: Settings, backends: Container[str]) -> BrokenParts:
    """Return the backends and the models whose tables have mistakes. The models include those that a broken backend's
    table lists.
    """
    names = {name.removeprefix("backends.") for name in settings.broken if name.startswith("backends.")}
    names |= {name for name in settings.backends if name not in backends}
    models = [name.removeprefix("models.") for name in settings.broken if name.startswith("models.")]
    may_be_any = False
    for name in names:
        listed = settings.backends[name].table.get("models") if name in settings.backends else None
        may_be_any |= not isinstance(listed, list)
        models += [entry for entry in listed if isinstance(entry, str)] if isinstance(listed, list) else []
    return BrokenParts(frozenset(names), tuple(models), may_be_any)


def reranker_of(settings: Settings, parts: Parts, problems: list[Problem]) -> Reranker | None:
    if settings.reranker is None:
        return None
    made: Reranker | None = build_adapter("rerankers", "reranker", settings.reranker, parts, problems)
    return made


def build_adapter(group: str, name: str, table: KindTable, parts: Parts, problems: list[Problem]) -> Any:
    """Build one adapter from its table. If the table has mistakes, add them to `problems` and return None."""
    try:
        kind = registry.find(group, table.kind)
    except registry.UnknownKind as error:
        problems.append(Problem(f"{table.where} kind", str(error)))
        problems += _problems_of_nearest(group, table, parts)
        return None
    except ImportError as error:
        problems.append(Problem(f"{table.where} kind", f"{table.kind!r} is not installed: {error}"))
        return None
    settings, wrong = _decoded(kind, table, parts)
    problems += wrong
    if wrong:
        return None
    try:
        return kind.build(name, settings, parts)
    except ConfigError as error:
        problems += error.problems
        return None


def _decoded(kind: registry.AdapterKind, table: KindTable, parts: Parts) -> tuple[Any, list[Problem]]:
    """Decode a table. Returns the settings and the mistakes in the table. The settings are None if a value has a wrong
    type.
    """
    settings, wrong = decode(table.table, kind.settings, table.where)
    if settings is not None:
        settings = settings.rooted(parts.settings.root) if isinstance(settings, Rooted) else settings
        wrong = [
            replace(problem, where=f"{table.where} {problem.where}")
            for problem in kind.check(settings, parts.settings.root)
        ]
    return settings, wrong


def _problems_of_nearest(group: str, table: KindTable, parts: Parts) -> list[Problem]:
    """Return the other mistakes in a table whose kind is unknown. The table is checked as if it were of the known kind
    with the most similar name. If no kind has a similar name, the list is empty.
    """
    meant = difflib.get_close_matches(table.kind, registry.known(group), 1)
    try:
        return _decoded(registry.find(group, meant[0]), table, parts)[1] if meant else []
    except ImportError:
        return []
