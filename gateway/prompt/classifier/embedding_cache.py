"""Keeps the embeddings of training texts on disk, so that the next training takes seconds.

There is one file for each embedder. It holds the digests of the texts and their vectors; a damaged file is ignored.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.ports import Embedder, Vectors

MOST = 60_000  # the number of texts that are kept, about 90 MB
PIECE = 512  # the number of texts between two progress messages


class EmbeddingCache:
    """An embedder that reads the vectors of known texts from disk."""

    def __init__(self, embedder: Embedder, folder: Path, progress: Callable[[str], None] = lambda what: None) -> None:
        self._embedder = embedder
        self._file = folder / f"embedded-{hashlib.sha256(embedder.name.encode()).hexdigest()[:12]}.npz"
        self._progress = progress

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors [texts, dimensions] of the texts as float32. Each row has length 1."""
        digests, vectors = self._read()
        known = {digest.tobytes(): row for row, digest in enumerate(digests)}
        keys = [_digest(text) for text in texts]
        # texts of similar length share a batch, so that they need little padding
        new = sorted({d: t for d, t in zip(keys, texts, strict=True) if d not in known}.items(), key=_length)
        if new:
            added = self._embed([text for _, text in new])
            known |= {digest: len(vectors) + row for row, (digest, _) in enumerate(new)}
            vectors = np.concatenate([vectors, added])
            digests = np.concatenate([digests, np.array([np.frombuffer(d, np.uint8) for d, _ in new])])
            self._write(digests[-MOST:], vectors[-MOST:])
        return vectors[[known[digest] for digest in keys]]

    def _embed(self, texts: Sequence[str]) -> Vectors:
        """Embed the texts in pieces, on one thread for each core. The result is [texts, dimensions].

        Unlike the threads of BLAS, these threads never wait for each other.
        """
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        pieces = [texts[start : start + PIECE] for start in range(0, len(texts), PIECE)]
        embedded: list[Vectors] = []
        with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for vectors in pool.map(self._embedder.embed, pieces):
                embedded.append(vectors)
                self._progress(f"embedded {sum(map(len, embedded))} of {len(texts)} prompts")
        return np.concatenate(embedded)

    def _read(self) -> tuple[NDArray[np.uint8], Vectors]:
        try:
            with np.load(self._file, allow_pickle=False) as arrays:
                digests, vectors = arrays["digests"], arrays["vectors"]
            if len(digests) == len(vectors) and vectors.shape[1:] == (self._embedder.dimensions,):
                return digests, vectors
        except (OSError, ValueError, KeyError):
            pass
        return np.zeros((0, 16), np.uint8), np.zeros((0, self._embedder.dimensions), np.float32)

    def _write(self, digests: NDArray[np.uint8], vectors: Vectors) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(f".{os.getpid()}.tmp")
        with draft.open("wb") as stream:
            np.savez(stream, digests=digests, vectors=vectors)
        draft.replace(self._file)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def _length(item: tuple[bytes, str]) -> int:
    return len(item[1])
