from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.context.embedding.sentence import SentenceEmbedder, SentenceSettings
from gateway.context.store.catalog import Catalog
from gateway.context.store.collections import Collections
from gateway.context.store.exact import ExactStore
from gateway.resources import locate


@pytest.fixture(scope="session")
def minilm() -> SentenceEmbedder:
    """The real embedder. Counting tokens does not load its weights."""
    settings = SentenceSettings()
    return SentenceEmbedder("minilm", locate(settings.model, Path.cwd()), settings)


@pytest.fixture
def collections(tmp_path: Path) -> Iterator[Collections]:
    opened = Collections(Catalog(tmp_path / "catalog.sqlite3"), ExactStore(tmp_path / "vectors"))
    yield opened
    opened.close()
