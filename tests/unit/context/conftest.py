from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.context.chroma import ChromaStore
from gateway.context.sentence import SentenceEmbedder, SentenceSettings
from gateway.resources import locate


@pytest.fixture(scope="session")
def minilm() -> SentenceEmbedder:
    """The real embedder. Counting tokens does not load its weights."""
    settings = SentenceSettings()
    return SentenceEmbedder("minilm", locate(settings.model, Path.cwd()), settings)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChromaStore]:
    opened = ChromaStore(tmp_path / "chroma")
    yield opened
    opened.close()
