"""Calibrates a classifier on held-out cases. Of the results with trust 0.8, four of five are then right."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from functools import cache
from math import log

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.prompt.classifier.labelled import is_outside
from gateway.prompt.classifier.model import CANDIDATES, GATE, Array, softmax
from gateway.prompt.classifier.regression import Fitted, TrainingRows, fit, join, middle

FOLDS = 5
MANY, FOLDS_OF_MANY = 4000, 3  # with at least this many cases, three folds are enough
OUTSIDE_IN_LIFE = 0.65
"""The expected share of users' prompts that have no template in a general library."""
ANCHORS = 40  # the examples of each intent that a prompt is compared with; 120 would take 30 us more
CHUNK = 512  # the number of rows that are compared with all examples at once, to limit memory


class HeldOutResults(Struct):
    """The results on held-out cases.

    `top` [cases] is the intent given to each case. `trust` [cases] is the probability that this intent is right. `gate`
    [features + 1] are the weights of the gate, with the bias last.
    """

    temperature: float
    gate: Array
    figures: dict[str, float]
    top: NDArray[np.str_]
    trust: Array
    near: Fitted | None = None
    """The mean weights of all folds, from which the final fit starts. None if the folds have different classes."""


def out_of_fold(
    table: TrainingRows,
    labels: NDArray[np.str_],
    extra: TrainingRows,
    extra_labels: NDArray[np.str_],
    points: Array,
    form: Array,
    groups: Sequence[str] = (),
    share_outside: float | None = None,
) -> HeldOutResults:
    """Fit the temperature and the gate on predictions for held-out cases.

    `table` has a row for each case, and `labels` has the class of each case. The rows `extra` with the classes
    `extra_labels` are in the training data of every fold. `points` [cases, dimensions] has rows of length 1; the
    product of two rows is the similarity of two cases. `form` [cases, forms] has what `model.forms` returns for each
    case.

    Cases with the same name in `groups` are held out together. A case with the name "" is held out alone.
    `share_outside` is the expected share of prompts without a template. If it is None, the share among the cases is
    used.
    """
    classes = np.unique(labels)
    known = ~outsiders(classes)
    scores = np.zeros((len(labels), len(classes)), np.float32)
    parts, fits = _folds(labels, groups), []
    for seen, left in parts:
        part = join(table.take(seen), extra) if len(extra) else table.take(seen)
        fits.append(fit(part, np.concatenate([labels[seen], extra_labels])))
        scores[left] = fits[-1].scores(table.take(left))
    within = ~outsiders(labels)
    temperature = _temperature(scores[within][:, known], np.searchsorted(classes[known], labels[within]))
    scores /= np.float32(temperature)
    signs = np.zeros((len(labels), len(GATE)), np.float32)
    for seen, left in parts:
        shown = spread(seen[within[seen]], labels)
        own = _signs(scores[left], points[left], points[shown], labels[shown], classes)
        signs[left] = np.hstack([own, form[left]])
    gate, scope = _gate(signs, within, share_outside)
    chances = softmax(scores)
    top = classes[np.where(known, chances, -1.0).argmax(axis=1)]
    trust = scope * signs[:, 0] / np.maximum(1.0 - signs[:, GATE.index("none")], 1e-9)
    return HeldOutResults(temperature, gate, figures(trust, top == labels, within), top, trust, middle(fits))


def outsiders(names: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return an array that tells for each name whether it is a class of prompts without a template."""
    return np.array([is_outside(name) for name in names.tolist()], dtype=bool)


def spread(rows: NDArray[np.intp], labels: NDArray[np.str_]) -> NDArray[np.intp]:
    """Choose at most `ANCHORS` rows of each class, evenly spaced. `rows` are indices of `labels`."""
    own: dict[str, list[int]] = {}
    for row in rows.tolist():
        own.setdefault(str(labels[row]), []).append(row)
    chosen = []
    for cases in own.values():
        step = max(1.0, len(cases) / ANCHORS)
        chosen += [cases[int(place * step)] for place in range(min(len(cases), ANCHORS))]
    return np.array(sorted(chosen), np.intp)


def _folds(labels: NDArray[np.str_], groups: Sequence[str]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return (training rows, held-out rows) for each fold. Every fold has about the same share of each class."""
    names = [group or str(row) for row, group in enumerate(groups or [""] * len(labels))]
    # the first case decides the class of its group
    first = dict(zip(reversed(names), reversed(labels.tolist()), strict=True))
    fewest = min(Counter(first.values()).values())
    count = min(FOLDS if len(labels) < MANY else FOLDS_OF_MANY, max(2, fewest))
    order = np.random.default_rng(0).permutation(sorted(first))
    dealt: Counter[str] = Counter()
    fold: dict[str, int] = {}
    for name in order.tolist():
        fold[name] = dealt[first[name]] % count
        dealt[first[name]] += 1
    held = np.array([fold[name] for name in names])
    return [(np.flatnonzero(held != part), np.flatnonzero(held == part)) for part in range(count)]


def _signs(scores: Array, left: Array, shown: Array, own: NDArray[np.str_], classes: NDArray[np.str_]) -> Array:
    """Compute the gate's features for held-out prompts. `model.gate_features` does the same for a single prompt.

    `scores` [left, classes] and `left` [left, dimensions] have a row for each prompt. The prompts are compared with the
    examples `shown` [shown, dimensions], whose classes are `own` [shown]. The result is [left, features].
    """
    order = np.argsort(own, kind="stable")
    shown = shown[order]
    ends = np.searchsorted(np.searchsorted(classes, own[order]), np.arange(len(classes) + 1))
    known = np.flatnonzero(~outsiders(classes))
    pieces = [slice(start, start + CHUNK) for start in range(0, len(left), CHUNK)]
    return np.concatenate([_signs_of(scores[piece], left[piece], shown, ends, known) for piece in pieces])


def _signs_of(scores: Array, left: Array, shown: Array, ends: NDArray[np.intp], known: NDArray[np.intp]) -> Array:
    rows = np.arange(len(left))
    chances = softmax(scores)
    best = known[np.argsort(-scores[:, known], axis=1, kind="stable")[:, :CANDIDATES]]
    first = chances[rows, best[:, 0]]
    second = chances[rows, best[:, 1]] if len(known) > 1 else np.float32(0)
    surprise = np.where(chances > 0, np.log(np.maximum(chances, 1e-30)) * chances, 0).sum(axis=1)
    near = np.full((len(left), best.shape[1], int(np.diff(ends).max())), -np.inf, np.float32)
    for place in np.unique(best).tolist():
        start, end = int(ends[place]), int(ends[place + 1])
        own, nth = np.nonzero(best == place)
        near[own, nth, : end - start] = left[own] @ shown[start:end].T
    likeness = -np.partition(-near.reshape(len(left), -1), min(5, near[0].size) - 1, axis=1)  # the five greatest first
    filled = np.isfinite(likeness)
    likeness[~filled] = 0.0
    five = likeness[:, :5].sum(axis=1) / np.maximum(1, filled[:, :5].sum(axis=1))
    mean = likeness.sum(axis=1) / np.maximum(1, filled.sum(axis=1))
    nearest = likeness[:, :5].max(axis=1, where=filled[:, :5], initial=-1.0)
    nearest[~filled.any(axis=1)] = 0.0
    none = 1.0 - chances[:, known].sum(axis=1)
    signs = (first, first - second, -surprise / log(max(2, scores.shape[1])), nearest, five, nearest - mean, none)
    return np.stack([*signs, scores[rows, best[:, 0]]], axis=1).astype(np.float32)


def _gate(signs: Array, within: NDArray[np.bool_], share_outside: float | None) -> tuple[Array, Array]:
    """Fit a logistic model of whether a prompt has an intent.

    `signs` is [cases, features], and `within` is [cases]. Return the weights for unscaled features [features + 1], and
    the held-out probabilities [cases]. If every case has an intent, the gate accepts all prompts.
    """
    if within.all():
        return np.array([0.0] * len(GATE) + [20.0], np.float32), np.ones(len(signs), np.float32)
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = make_pipeline(StandardScaler(), LogisticRegression(C=1.0))
    parts = StratifiedKFold(max(2, min(FOLDS, int((~within).sum()))), shuffle=True, random_state=1)
    scope = cross_val_predict(made, signs, within, cv=parts, method="predict_proba")[:, 1]
    made.fit(signs, within)
    if share_outside is not None:
        # if the share of prompts without a template changes, the log-odds change by a constant
        moved = float(np.log((1 - share_outside) / share_outside) - np.log(within.mean() / (1 - within.mean())))
        scope = 1.0 / (1.0 + (1.0 / np.clip(scope, 1e-9, 1 - 1e-9) - 1.0) * np.exp(-moved))
        made[1].intercept_ += moved
    scaler, fitted = made[0], made[1]
    weights = fitted.coef_[0] / scaler.scale_
    bias = fitted.intercept_[0] - float(weights @ scaler.mean_)
    return np.append(weights, bias).astype(np.float32), scope.astype(np.float32)


def figures(trust: Array, right: NDArray[np.bool_], within: NDArray[np.bool_], floor: float = 0.6) -> dict[str, float]:
    """Return named figures for the quality of a classifier on held-out cases.

    `trust`, `right` and `within` are [cases]; `within` tells whether a case has an intent. An intent is accepted if its
    confidence is at least `floor`. The default of `floor` is that of `[prompt] confidence`.
    """
    from sklearn.metrics import roc_auc_score

    taken = trust >= floor
    results = {
        "cases": float(within.sum()),
        "accuracy": float(right[within].mean()),
        "taken": float(taken[within].mean()),
        "right of those taken": float(right[taken].mean()) if taken.any() else 0.0,
        "calibration error": calibration_error(trust, right),
    }
    if not within.all():
        results |= {
            "calibration error within": calibration_error(trust[within], right[within]),
            "unknown AUROC": float(roc_auc_score(within, trust)),
            "false alarms on unknown": float(taken[~within].mean()),
        }
    return results


def calibration_error(trust: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 10) -> float:
    """Return the expected calibration error (ECE): the mean absolute difference between trust and accuracy, over bins
    of trust.

    `trust` and `right` are [cases].
    """
    place = np.minimum((trust * bins).astype(int), bins - 1)
    parts = [place == index for index in range(bins)]
    return float(sum(abs(trust[part].mean() - right[part].mean()) * part.mean() for part in parts if part.any()))


def _temperature(scores: Array, labels: NDArray[np.intp]) -> float:
    """Return the temperature, by which scores are divided. It is the value that makes the right classes of the held-out
    cases most probable.

    `scores` is [cases, classes], and `labels` [cases] holds indices of classes.
    """
    rows = np.arange(len(labels))

    @cache
    def surprise(place: int) -> float:
        scaled = scores * np.float32(1.0 / grid[place])
        scaled -= scaled.max(axis=1, keepdims=True)
        right = scaled[rows, labels]
        return float((np.log(np.exp(scaled, out=scaled).sum(axis=1)) - right).mean())

    grid = np.geomspace(0.1, 10.0, 81).tolist()
    # the loss is convex in the inverse of the divisor, so it falls and then rises
    least = bisect_left(range(len(grid) - 1), True, key=lambda place: surprise(place + 1) >= surprise(place))
    return float(grid[least])
