"""What every embedder promises, on the real ones: the sentence model and the table distilled from it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.context.embedding.sentence import DEFAULT_MODEL, SentenceEmbedder
from gateway.context.embedding.static import load_static
from gateway.ports import Embedder
from gateway.resources import locate
from tests.doubles.static_table import KEPT


@pytest.fixture(scope="session")
def sentence() -> SentenceEmbedder:
    return SentenceEmbedder("minilm", locate(DEFAULT_MODEL, Path.cwd()))


@pytest.fixture(scope="session", params=["sentence", "static"])
def embedder(request: pytest.FixtureRequest, sentence: SentenceEmbedder) -> Iterator[Embedder]:
    if request.param == "sentence":
        yield sentence
    else:
        # distilling takes half a minute, so the table is kept from one run to the next
        yield load_static(sentence, KEPT)


def test_each_text_becomes_one_unit_vector_of_the_told_length(embedder: Embedder) -> None:
    vectors = embedder.embed(["a letter to the landlord", "x", "两个句子。"])
    assert vectors.shape == (3, embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_a_text_has_the_same_vector_alone_and_in_company(embedder: Embedder) -> None:
    texts = ["short", "a somewhat longer text about the weather in the mountains", "another"]
    alone = np.stack([embedder.embed([text])[0] for text in texts])
    assert embedder.embed(texts) == pytest.approx(alone, abs=1e-4)


def test_what_means_the_same_is_nearer_than_what_does_not(embedder: Embedder) -> None:
    about, same, other = embedder.embed(
        ["how do I cancel my subscription", "I want to end my membership", "the recipe needs two eggs and flour"]
    )
    assert about @ same > about @ other + 0.1


def test_empty_and_very_long_texts_are_taken(embedder: Embedder) -> None:
    vectors = embedder.embed(["", "word " * 20_000])
    assert np.isfinite(vectors).all()


def test_tokens_are_counted_without_a_limit(embedder: Embedder) -> None:
    assert embedder.count_tokens("") == 0
    assert embedder.count_tokens("hello world") == 2
    assert embedder.count_tokens("hello world " * 1000) == 2000
