"""The encoder in numpy, beside the library that it stands in for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gateway.context.embedding import bert
from gateway.context.embedding.sentence import (
    DEFAULT_MODEL,
    SentenceEmbedder,
    SentenceSettings,
    Transformer,
    read_tokenizer,
)
from gateway.resources import locate

TEXTS = ["Hello", "", "把下面这句话翻译成英文", "The council met on Tuesday. " * 60, "a b c " * 300, "🙂 \x00 \n"]


@pytest.fixture(scope="module")
def folder() -> Path:
    return locate(DEFAULT_MODEL, Path.cwd())


@pytest.mark.filterwarnings("ignore")
def test_it_computes_what_sentence_transformers_computes(folder: Path) -> None:
    ours = bert.Bert(folder, read_tokenizer(folder), 256)
    theirs = Transformer(folder, SentenceSettings())
    assert np.abs(ours.embed(TEXTS) - theirs.embed(TEXTS)).max() < 1e-5
    rows = [[101, word, 102] for word in (2003, 2129, 7592)]
    assert np.abs(ours.mean_states(rows) - theirs.mean_states(rows)).max() < 1e-4


def test_a_text_gets_the_same_vector_whatever_goes_with_it(folder: Path) -> None:
    model = bert.Bert(folder, read_tokenizer(folder), 256)
    together = model.embed(TEXTS * 3)
    alone = np.concatenate([model.embed([text]) for text in TEXTS])
    assert np.abs(together[: len(TEXTS)] - alone).max() < 1e-5


def test_a_small_batch_has_the_right_shape(folder: Path) -> None:
    embedder = SentenceEmbedder("minilm", folder)
    assert embedder.embed([]).shape == (0, 384)
    assert embedder.embed(["x"]).dtype == np.float32
    assert isinstance(embedder.load(), bert.Bert)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"model_type": "xlm-roberta"}),
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}),
    ],
)
def test_another_kind_of_model_is_left_to_sentence_transformers(
    folder: Path, tmp_path: Path, file: str, change: dict[str, object]
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.safetensors", "vocab.txt"))
    (copy / "model.safetensors").touch()
    assert bert.fits(copy)
    (copy / file).write_text(json.dumps(json.loads((copy / file).read_text()) | change))
    assert not bert.fits(copy)
