"""Makes a classifier's trust honest: what it says of prompts that it has not seen, and how often that is so."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.prompt.model import GATE, NONE, Array, gate_features, softmax

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

FOLDS = 5
STRENGTH = 30.0  # inverse regularisation; features are of length one


class Honest(Struct):
    """What was learned on cases that the classifier had not seen."""

    temperature: float
    gate: Array
    figures: dict[str, float]


def out_of_fold(
    table: Array, labels: NDArray[np.str_], extra: Array, extra_labels: NDArray[np.str_], anchor: slice
) -> Honest:
    """Temperature and gate, from predictions for cases that were left out of the training."""
    from sklearn.model_selection import StratifiedKFold

    classes = np.unique(labels)
    known = classes != NONE
    scores = np.zeros((len(labels), len(classes)), np.float32)
    likeness: list[tuple[int, Array, NDArray[np.int64]]] = []
    for seen, left in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(table, labels):
        fitted = fit(np.vstack([table[seen], extra]), np.concatenate([labels[seen], extra_labels]))
        scores[left] = fitted.decision_function(table[left])
        shown = seen[labels[seen] != NONE]
        own = np.searchsorted(classes, labels[shown])
        near = table[left][:, anchor] @ table[shown][:, anchor].T
        likeness.extend((row, near[index], own) for index, row in enumerate(left))
    within = labels != NONE
    temperature = _temperature(scores[within][:, known], np.searchsorted(classes[known], labels[within]))
    chances = softmax(scores / temperature)
    signs = np.zeros((len(labels), len(GATE)), np.float32)
    for row, near, own in likeness:
        examples = np.flatnonzero(own == int((chances[row] * known).argmax()))
        signs[row] = gate_features(chances[row], near, examples, known)
    top = classes[np.where(known, chances, -1.0).argmax(axis=1)]
    gate, scope = _gate(signs, within)
    trust = scope * signs[:, 0] / np.maximum(1.0 - signs[:, -1], 1e-9)
    return Honest(temperature, gate, figures(trust, top == labels, within))


def _gate(signs: Array, within: NDArray[np.bool_]) -> tuple[Array, Array]:
    """A logistic model of *some template is for this*, its scaling folded into its weights, and its
    held-out answers."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = make_pipeline(StandardScaler(), LogisticRegression(C=1.0))
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=1)
    scope = cross_val_predict(made, signs, within, cv=parts, method="predict_proba")[:, 1]
    made.fit(signs, within)
    scaler, fitted = made[0], made[1]
    weights = fitted.coef_[0] / scaler.scale_
    bias = fitted.intercept_[0] - float(weights @ scaler.mean_)
    return np.append(weights, bias).astype(np.float32), scope.astype(np.float32)


def figures(trust: Array, right: NDArray[np.bool_], within: NDArray[np.bool_], floor: float = 0.6) -> dict[str, float]:
    """How good a tier is on cases that it had not seen. `floor` is the default of `[prompt] confidence`."""
    from sklearn.metrics import roc_auc_score

    taken = trust >= floor
    return {
        "cases": float(within.sum()),
        "accuracy": float(right[within].mean()),
        "unknown AUROC": float(roc_auc_score(within, trust)),
        "taken": float(taken[within].mean()),
        "right of those taken": float(right[taken].mean()) if taken.any() else 0.0,
        "false alarms on unknown": float(taken[~within].mean()),
        "calibration error": calibration_error(trust, right),
    }


def calibration_error(trust: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 10) -> float:
    """ECE: the mean distance between trust and success, over bins of trust."""
    place = np.minimum((trust * bins).astype(int), bins - 1)
    parts = [place == index for index in range(bins)]
    return float(sum(abs(trust[part].mean() - right[part].mean()) * part.mean() for part in parts if part.any()))


def _temperature(scores: Array, labels: NDArray[np.intp]) -> float:
    """The divisor that makes the probabilities of held-out cases most likely."""

    def surprise(temperature: float) -> float:
        chances = softmax(scores / temperature)
        return float(-np.log(chances[np.arange(len(labels)), labels] + 1e-9).mean())

    return float(min(np.geomspace(0.1, 10.0, 81), key=surprise))


def fit(table: Array, labels: NDArray[np.str_]) -> LogisticRegression:
    from sklearn.linear_model import LogisticRegression

    counts = Counter(labels.tolist())
    typical = float(np.median(list(counts.values())))
    # An intent with few examples weighs as much as others; "none", as wide as all of them, more.
    weight = {label: min(2.0, (4.0 if label == NONE else 1.0) * typical / count) for label, count in counts.items()}
    weights = np.array([weight[label] for label in labels.tolist()])
    return LogisticRegression(C=STRENGTH, max_iter=200, tol=1e-3).fit(table, labels, sample_weight=weights)
