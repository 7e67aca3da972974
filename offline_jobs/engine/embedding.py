"""Opens the configured embedding model and vector store for jobs, without the server's batching and event loop."""

from typing import Any

from gateway.adapters import Parts, build_adapter
from gateway.errors import ConfigError, Problem
from gateway.ports import Embedder, VectorStore
from gateway.settings.tables import KindTable, Settings
from offline_jobs.errors import JobFailed


def open_embedder(settings: Settings) -> Embedder:
    """Load the configured embedding model. Raises `JobFailed` if none is configured."""
    missing = 'this job needs an embedding model; configure one, for example: [embedder] kind = "sentence"'
    embedder: Embedder = _built(settings, "embedders", "embedder", settings.embedder, missing)
    return embedder


def open_vectors(settings: Settings) -> VectorStore:
    """Open the configured vector store. Raises `JobFailed` if none is configured."""
    missing = 'this job needs collections; configure a store, for example: [store] kind = "chroma"'
    vectors: VectorStore = _built(settings, "stores", "store", settings.store, missing)
    return vectors


def _built(settings: Settings, group: str, name: str, table: KindTable | None, missing: str) -> Any:
    if table is None:
        raise JobFailed(missing)
    problems: list[Problem] = []
    built = build_adapter(group, name, table, Parts(settings), problems)
    if built is None:
        raise JobFailed(str(ConfigError(problems)))
    return built
