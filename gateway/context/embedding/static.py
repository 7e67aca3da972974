"""The first, very cheap tier of embeddings. Each word piece has a fixed vector, and the vector of a text is their mean.

The table is distilled once from the sentence model, by the recipe of model2vec. Each word piece of the vocabulary is
embedded alone, PCA keeps 256 dimensions, and frequent pieces get less weight by Zipf's law. The recipe is written out
here, since model2vec's own distiller needs an older version of transformers.

Embedding a text needs only rows of the table and plain numpy, so it runs on the event loop. sentence-transformers'
`StaticEmbedding` uses torch and batches, and takes about ten times as long for one short text.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.context.embedding.sentence import SentenceEmbedder, read_tokenizer
from gateway.context.embedding.word_pieces import WordPieces

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from gateway.ports import Vectors

DIMENSIONS = 256
SMOOTHING = 1e-4  # SIF's `a`: the smaller it is, the less weight frequent pieces get
LONGEST = 2000  # characters; the mean of a longer text says little, and computing it would block the event loop


class StaticEmbedder:
    """Satisfies `ports.Embedder` with the mean of the vectors of a text's word pieces. A short text takes about ten
    microseconds.
    """

    def __init__(self, name: str, tokenizer: Tokenizer, table: NDArray[np.float32]) -> None:
        """`table` is [vocabulary, dimensions]. The row of a word piece is zero if the piece is to be ignored."""
        import numpy as np

        self.name = name
        # a plain view: each operation on numpy's type for mapped files runs Python code
        self.table = table.view(type=np.ndarray)
        self.dimensions = int(table.shape[1])
        self.window_tokens = LONGEST // 4
        self._none = np.zeros(self.dimensions, np.float32)
        self._ones = np.ones(LONGEST, table.dtype)
        self._tokenizer = tokenizer
        self._pieces = WordPieces(tokenizer)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors [texts, dimensions] in float32. Rows have length 1, but a text without words has a row of
        zeros.
        """
        if len(texts) == 1:  # the usual case during a request
            return self._vector(texts[0]).reshape(1, -1)
        import numpy as np

        return np.array([self._vector(text) for text in texts], np.float32).reshape(len(texts), self.dimensions)

    def _vector(self, text: str) -> Vectors:
        # in some scripts, a character is split into several pieces
        ids = self._pieces.ids(text[:LONGEST])[:LONGEST]
        # for a few rows, a matrix product is several times as fast as numpy's sum
        total: Vectors = self._ones[: len(ids)].dot(self.table.take(ids, 0)) if ids else self._none.copy()
        length = sqrt(total.dot(total))
        if length > 0.0:
            total /= length
        return total

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def load_static(sentence: SentenceEmbedder, data_folder: Path) -> StaticEmbedder:
    """Read the static embedding of a sentence model from the data folder, or distil it now.

    Blocking. Distilling takes about half a minute, once. After that, neither torch nor the sentence model is needed.
    """
    import numpy as np

    digest = model_digest(sentence.folder)
    file = data_folder / "static" / f"{digest}.npy"
    if not file.exists():
        _write(file, distil(sentence))
    # The file is mapped, so that all workers of a machine share one copy.
    table = np.load(file, mmap_mode="r", allow_pickle=False)
    return StaticEmbedder(f"static-{digest}", read_tokenizer(sentence.folder), table)


def model_digest(folder: Path) -> str:
    """Return sixteen hex digits that identify the model's weights, its vocabulary, and the recipe of the
    distillation.
    """
    digest = hashlib.sha256(f"v1 {DIMENSIONS} {SMOOTHING}".encode())
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), folder / "tokenizer.json"]):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def distil(sentence: SentenceEmbedder) -> NDArray[np.float32]:
    """Compute the table of weighted vectors, [vocabulary, 256]. The component that all word pieces share is removed."""
    import numpy as np

    vocabulary = sentence.tokenizer().get_vocab(with_added_tokens=True)
    pieces = sorted((index, piece) for piece, index in vocabulary.items() if not _is_reserved(piece))
    indices = np.array([index for index, _ in pieces])
    vectors = _embed_pieces(sentence, indices.tolist())
    table = np.zeros((max(vocabulary.values()) + 1, min(DIMENSIONS, vectors.shape[1])), np.float32)
    table[indices] = _reduce(vectors, DIMENSIONS) * _weights(len(pieces))[:, None]
    return table


def _is_reserved(piece: str) -> bool:
    return piece in {"<s>", "</s>", "<pad>", "<unk>"} or (len(piece) > 2 and piece[0] == "[" and piece[-1] == "]")


def _embed_pieces(sentence: SentenceEmbedder, indices: Sequence[int], batch: int = 512) -> NDArray[np.float32]:
    """Embed each piece alone, between the model's special tokens: [pieces, model's dimensions]."""
    import numpy as np

    frame = sentence.tokenizer().encode("", add_special_tokens=True).ids
    before, after = frame[: len(frame) // 2], frame[len(frame) // 2 :]
    rows = [[*before, index, *after] for index in indices]
    pieces = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    sentence.load()
    # uses all cores, since this takes most of the time of a first start
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return np.concatenate(list(pool.map(sentence.states, pieces)))


def _reduce(vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """Reduce the vectors by PCA: [pieces, model's dimensions] -> [pieces, dimensions]."""
    import numpy as np

    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # eigenvalues ascend, so the last columns are the main axes
    return np.asarray(centred @ axes[:, ::-1][:, :dimensions], dtype=np.float32)


def _weights(count: int) -> NDArray[np.float32]:
    """Return the SIF weights: [pieces]. Zipf's law gives the frequency of a piece from its index in the vocabulary."""
    import numpy as np

    share = 1.0 / np.arange(2, count + 2)
    share /= share.sum()
    return np.asarray(SMOOTHING / (SMOOTHING + share), dtype=np.float32)


def _write(file: Path, table: NDArray[np.float32]) -> None:
    """Write the file atomically, since another worker may read or write it too."""
    import numpy as np

    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    with draft.open("wb") as stream:
        np.save(stream, table, allow_pickle=False)
    draft.replace(file)
