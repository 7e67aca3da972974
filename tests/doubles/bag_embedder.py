"""An embedder without a model. Every word is a dimension, so texts with common words have similar vectors."""

import re
import zlib
from collections.abc import Sequence

import numpy as np

from gateway.ports import Vectors

WORD = re.compile(r"[a-z0-9]+|[^\x00-\x7f]")


class BagEmbedder:
    """Satisfies `ports.Embedder`. `texts` collects the texts that were embedded."""

    def __init__(self, name: str = "bag", dimensions: int = 256, shift: int = 0) -> None:
        self.name = name
        self.dimensions = dimensions
        self.window_tokens = 256
        self.shift = shift
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in WORD.findall(text.lower()):
                row[(zlib.crc32(word.encode()) + self.shift) % self.dimensions] += 1
            row /= np.linalg.norm(row) or 1
        return rows

    def count_tokens(self, text: str) -> int:
        return len(WORD.findall(text.lower()))
