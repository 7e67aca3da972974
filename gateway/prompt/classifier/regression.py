"""Multinomial logistic regression in single precision, on sparse words and dense vectors together.

scikit-learn needs words and vectors in one sparse table. For 15,000 prompts of 150 intents, scikit-learn took 27.4 s
and this module took 17.4 s. For 6,000 prompts of 60 intents, scikit-learn took 7.2 s and this module took 2.5 s. The
accuracy was the same (`benchmarks/regression.py`).

The descent is L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.4), written in numpy. With a million
weights, scipy's version spends more time on its steps than on the gradient.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import sparse  # comes with scikit-learn

from gateway.prompt.classifier.labelled import NONE
from gateway.prompt.classifier.model import Array, softmax

STRENGTH = 30.0  # inverse of the regularisation, for rows of length 1
ENOUGH = 5e-5  # the descent ends when every part of the gradient is smaller
STEPS, HALVINGS, REMEMBERED = 100, 20, 5


class TrainingRows(Struct, frozen=True):
    """Prompts as rows of two matrices. `words` [prompts, words] is sparse, and `vectors` [prompts, dimensions] is
    dense. Both are float32.
    """

    words: Any
    vectors: Array

    def take(self, rows: NDArray[Any]) -> TrainingRows:
        return TrainingRows(self.words[rows], self.vectors[rows])

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    @property
    def split(self) -> int:
        """The number of columns of `words`."""
        return int(self.words.shape[1])

    @property
    def width(self) -> int:
        return self.split + int(self.vectors.shape[1])


def join(first: TrainingRows, second: TrainingRows) -> TrainingRows:
    words = sparse.vstack([first.words, second.words]).tocsr()
    return TrainingRows(words, np.vstack([first.vectors, second.vectors]))


class Fitted(Struct, frozen=True):
    """The fitted `weights`, [columns + 1, classes], with the bias in the last row."""

    classes: NDArray[np.str_]
    weights: Array

    def scores(self, table: TrainingRows) -> Array:
        """Return the score of each prompt for each class, [prompts, classes]."""
        split = table.split
        scores = table.words @ self.weights[:split] + table.vectors @ self.weights[split:-1] + self.weights[-1]
        return np.asarray(scores, dtype=np.float32)

    def chances(self, table: TrainingRows) -> Array:
        return softmax(self.scores(table))


def fit(table: TrainingRows, labels: NDArray[np.str_], near: Fitted | None = None) -> Fitted:
    """Fit the weights. The same rows and labels always give the same weights.

    `labels` [prompts] has the class of each prompt. The descent starts from `near`, the weights of a similar fit, if
    both fits have the same classes.
    """
    classes, own = np.unique(labels, return_inverse=True)
    weights = _fairly(labels)
    slope = _slope(table, own, len(classes), weights, 1.0 / (STRENGTH * float(weights.sum())))
    begin = np.zeros((table.width + 1, len(classes)), np.float32)
    if near is not None and np.array_equal(near.classes, classes):
        begin = near.weights
    return Fitted(classes, _descend(slope, begin.ravel()).reshape(begin.shape))


def middle(fits: Sequence[Fitted]) -> Fitted | None:
    """Return the mean of several fits, or None if their classes differ."""
    classes = fits[0].classes
    if any(not np.array_equal(fitted.classes, classes) for fitted in fits):
        return None
    return Fitted(classes, np.mean([fitted.weights for fitted in fits], axis=0, dtype=np.float32))


Slope = Callable[[Array], tuple[float, Array]]


def _descend(slope: Slope, at: Array) -> Array:
    """Return the flat weights with the smallest loss, by L-BFGS. A step that does not reduce the loss is halved."""
    loss, gradient = slope(at)
    past: deque[tuple[Array, Array, float]] = deque(maxlen=REMEMBERED)
    for _ in range(STEPS):
        if float(np.abs(gradient).max()) < ENOUGH:
            break
        direction = _direction(gradient, past)
        fall = float(direction @ gradient)
        step = 1.0 if past else min(1.0, 1.0 / float(np.abs(gradient).sum()))
        for _ in range(HALVINGS):
            there = at + np.float32(step) * direction
            new_loss, new_gradient = slope(there)
            if new_loss <= loss + 1e-4 * step * fall:
                break
            step /= 2
        else:
            break  # single precision allows no smaller step
        moved, turned = there - at, new_gradient - gradient
        bend = float(moved @ turned)
        if bend > 0.0:
            past.append((moved, turned, bend))
        at, loss, gradient = there, new_loss, new_gradient
    return at


def _direction(gradient: Array, past: Sequence[tuple[Array, Array, float]]) -> Array:
    """Return the direction of the next step: downhill, corrected by the recent changes of the gradient."""
    q, alphas = -gradient, []
    for moved, turned, bend in reversed(past):
        alpha = float(moved @ q) / bend
        q -= np.float32(alpha) * turned
        alphas.append(alpha)
    if past:
        _, turned, bend = past[-1]
        q *= np.float32(bend / float(turned @ turned))
    for (moved, turned, bend), alpha in zip(past, reversed(alphas), strict=True):
        q += np.float32(alpha - float(turned @ q) / bend) * moved
    return q


def _slope(table: TrainingRows, own: NDArray[np.intp], classes: int, weights: Array, penalty: float) -> Slope:
    """Return a function that computes the loss and its gradient from flat weights. `own` [prompts] has the index of
    each prompt's class.
    """
    rows, split = np.arange(len(table)), table.split
    words_across, total = table.words.T.tocsr(), float(weights.sum())
    each = (weights / total)[:, None]

    def slope(flat: Array) -> tuple[float, Array]:
        now = flat.reshape(-1, classes)
        scores = table.words @ now[:split] + table.vectors @ now[split:-1] + now[-1]
        scores -= scores.max(axis=1, keepdims=True)
        right = scores[rows, own]
        np.exp(scores, out=scores)
        sums = scores.sum(axis=1)
        loss = float((weights * (np.log(sums) - right)).sum(dtype=np.float64)) / total
        scores /= sums[:, None]
        scores[rows, own] -= 1.0
        scores *= each
        gradient = np.empty_like(now)
        gradient[:split] = words_across @ scores
        gradient[split:-1] = table.vectors.T @ scores
        gradient[-1] = scores.sum(axis=0)
        gradient[:-1] += np.float32(penalty) * now[:-1]
        return loss + 0.5 * penalty * float(np.vdot(now[:-1], now[:-1])), gradient.ravel()

    return slope


def _fairly(labels: NDArray[np.str_]) -> Array:
    """Return the weight of each prompt, [prompts].

    Intents with few examples weigh as much as the others. The class of no intent weighs more, since it is as broad as
    all intents together.
    """
    counts = Counter(labels.tolist())
    typical = float(np.median(list(counts.values())))
    weight = {label: min(2.0, (4.0 if label == NONE else 1.0) * typical / count) for label, count in counts.items()}
    return np.array([weight[label] for label in labels.tolist()], dtype=np.float32)
