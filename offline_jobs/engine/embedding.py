"""Opens the configured embedding model for jobs, without the server's batching and event loop."""

from gateway.adapters import Parts, build_adapter
from gateway.errors import ConfigError, Problem
from gateway.ports import Embedder
from gateway.settings.tables import Settings
from offline_jobs.errors import JobFailed


def open_embedder(settings: Settings) -> Embedder:
    """Load the configured embedding model. Raises `JobFailed` if none is configured."""
    if settings.embedder is None:
        raise JobFailed('this job needs an embedding model; configure one, for example: [embedder] kind = "sentence"')
    problems: list[Problem] = []
    embedder: Embedder | None = build_adapter("embedders", "embedder", settings.embedder, Parts(settings), problems)
    if embedder is None:
        raise JobFailed(str(ConfigError(problems)))
    return embedder
