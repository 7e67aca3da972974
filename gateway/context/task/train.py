"""Trains the head on the tasks that `grammar.py` generates. The accuracy is measured on patterns that were left out of
the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression

from gateway.context.task.features import COLUMNS, columns, scale
from gateway.context.task.grammar import LabelledTask, digest, patterns_of, tasks
from gateway.context.task.head import PROBE, VECTOR_WEIGHT, LinearModel, TaskHead, TaskKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gateway.ports import Embedder

SPACED = {"en": True, "zh": False}
EMBEDDED = ("en",)
"""The languages that the default embedder knows."""
EACH = 12
"""The number of tasks that are generated from one pattern."""
OTHER_MARGIN = 0.5
"""Subtracted from the score of `other`: a task that is taken for a sentence of the text is lost."""
FOLDS = 3
BATCH = 32
STRENGTH = {"words": 30.0, "both": 10.0}
"""The inverse of the penalty on large weights, which scikit-learn calls `C`."""


def made(language: str, each: int = EACH, seed: int = 7) -> list[LabelledTask]:
    """Return the training tasks of a language."""
    return list(tasks(patterns_of(language), each, seed))


def train(embedder: Embedder | None, languages: Sequence[str] = tuple(SPACED)) -> tuple[TaskHead, dict[str, float]]:
    """Return the trained head, and the accuracy of each model. The accuracy is measured on tasks from patterns that
    were left out of the training.
    """
    models, figures = {}, {}
    probe = np.zeros(0, np.float32) if embedder is None else embedder.embed([PROBE])[0]
    for language in languages:
        examples = made(language)
        words = _table([example.text for example in examples], spaced=SPACED[language])
        models[f"{language}.words"], figures[f"{language}.words"] = _fitted(words, examples, STRENGTH["words"])
        if embedder is not None and language in EMBEDDED:
            vectors = _embedded(embedder, [example.text for example in examples])
            both = hstack([words, csr_matrix(VECTOR_WEIGHT * vectors)]).tocsr()
            models[f"{language}.both"], figures[f"{language}.both"] = _fitted(both, examples, STRENGTH["both"])
    return TaskHead(models, frozenset(code for code, spaced in SPACED.items() if spaced), digest(), probe), figures


def _table(texts: Sequence[str], *, spaced: bool) -> csr_matrix:
    """Return the features as an array [texts, COLUMNS] of rows of length 1. It is sparse: a dense one takes 1 GB."""
    places = [columns(text, spaced=spaced) for text in texts]
    values = np.concatenate([np.full(len(own), scale(own), np.float32) for own in places])
    starts = np.cumsum([0, *map(len, places)])
    return csr_matrix((values, np.concatenate(places), starts), shape=(len(texts), COLUMNS))


def _embedded(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the vectors of the texts as an array [texts, dimensions]. Texts of similar length are embedded
    together.
    """
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    made = np.zeros((len(texts), embedder.dimensions), np.float32)
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        made[places] = embedder.embed([texts[place] for place in places])
    return made


def _fitted(features: csr_matrix, examples: Sequence[LabelledTask], strength: float) -> tuple[LinearModel, float]:
    """Return a model that is trained on all examples, and its accuracy. The accuracy is measured by cross-validation
    that leaves out whole patterns.
    """
    labels = np.array([list(TaskKind).index(TaskKind(example.kind)) for example in examples])
    folds = np.array([example.pattern % FOLDS for example in examples])
    right = 0
    for fold in range(FOLDS):
        model = _fit(features[folds != fold], labels[folds != fold], strength)
        scores = features[folds == fold] @ model.weights + model.bias
        right += int((scores.argmax(axis=1) == labels[folds == fold]).sum())
    return _fit(features, labels, strength), right / len(labels)


def _fit(features: csr_matrix, labels: NDArray[np.intp], strength: float) -> LinearModel:
    model = LogisticRegression(C=strength, max_iter=400, class_weight="balanced").fit(features, labels)
    bias = model.intercept_.astype(np.float32)
    bias[list(TaskKind).index(TaskKind.OTHER)] -= OTHER_MARGIN
    return LinearModel(model.coef_.T.astype(np.float32), bias)
