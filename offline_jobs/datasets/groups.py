"""Clusters the prompts that no template fits, and names each cluster. A cluster can become a new template."""

import re
from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np
from msgspec import Struct
from sklearn.cluster import HDBSCAN
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from gateway.settings.tables import Settings
from offline_jobs.engine.embedding import open_embedder

FEWEST = 5
SHARE = 0.01  # a cluster with a smaller share of the prompts may be due to chance
DIMENSIONS = 16
SHOWN = 8
_WORD = re.compile(r"[a-z][a-z]{2,}|[\u4e00-\u9fff]{2}")


class PromptGroup(Struct, frozen=True):
    """A cluster of similar prompts. `examples` are the prompts nearest to the cluster's mean, and can be used as a
    template's `match`."""

    name: str
    size: int
    examples: tuple[str, ...]


def group(texts: Sequence[str], settings: Settings) -> list[PromptGroup]:
    """Return the clusters of the texts. The largest cluster comes first. Texts that fit no cluster are left out.

    Returns an empty list if there are too few texts.
    """
    if len(texts) < 2 * FEWEST:
        return []
    return grouped(texts, open_embedder(settings).embed(texts))


def grouped(texts: Sequence[str], vectors: Any) -> list[PromptGroup]:
    """Cluster texts with HDBSCAN (Campello et al. 2013), after PCA, because distances mean more in few dimensions.

    vectors: [texts, dimensions]
    """
    smallest = max(FEWEST, int(len(texts) * SHARE))
    flat = PCA(min(DIMENSIONS, len(texts) - 1, vectors.shape[1]), random_state=0).fit_transform(vectors)
    of = HDBSCAN(min_cluster_size=smallest, min_samples=3, copy=True).fit_predict(flat)
    members = [np.flatnonzero(of == number) for number in range(int(of.max()) + 1)]
    called = names([[texts[index] for index in rows.tolist()] for rows in members])
    made = [central(name, texts, vectors, rows) for name, rows in zip(called, members, strict=True)]
    return sorted(made, key=lambda group: (-group.size, group.name))


def central(name: str, texts: Sequence[str], vectors: Any, rows: Any) -> PromptGroup:
    """Make a cluster of these rows. The examples are the texts nearest to the cluster's mean.

    vectors: [texts, dimensions]; rows: [group], indices of texts
    """
    nearness = vectors[rows] @ vectors[rows].mean(axis=0)
    central = rows[np.argsort(-nearness, kind="stable")][:SHOWN].tolist()
    return PromptGroup(name, len(rows), tuple(texts[index] for index in central))


def names(groups: Sequence[Sequence[str]]) -> list[str]:
    """Name each cluster by two words that are frequent in it and rare in the other clusters."""
    counts = [Counter(word for text in group for word in {*_words(text)}) for group in groups]
    spread = Counter(word for count in counts for word in count)
    made: list[str] = []
    for number, (count, group) in enumerate(zip(counts, groups, strict=True)):
        weight = {word: n / len(group) * log((1 + len(groups)) / spread[word]) for word, n in count.items()}
        best = sorted(weight, key=lambda word: (-weight[word], word))[:2]
        name = "-".join(best) if best and all(word.isascii() for word in best) else f"group-{number + 1}"
        made.append(name if name not in made else f"{name}-{number + 1}")
    return made


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in ENGLISH_STOP_WORDS]
