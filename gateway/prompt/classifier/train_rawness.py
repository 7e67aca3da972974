"""Trains the model of raw prompts on our seed prompts.

Leaving a raw prompt unchanged is the smaller mistake. The bias is therefore set on held-out prompts, so that only the
share `ALARMS` of the well-specified prompts reaches `THRESHOLD`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gateway.prompt.classifier.calibrate import FOLDS
from gateway.prompt.classifier.lessons import Seeds
from gateway.prompt.classifier.model import Array
from gateway.prompt.classifier.rawness import RawnessModel, measures
from gateway.prompt.classifier.view import look
from gateway.settings.prompt import PromptTable

PAIRED = 4.0  # the weight of a prompt in a pair: pairs teach more than single prompts
ALARMS = 0.15  # the share of well-specified prompts that may look improvable
THRESHOLD = PromptTable().improvable  # a prompt with at least this probability looks improvable


def train_rawness(seeds: Seeds) -> RawnessModel:
    """Fit the model on single prompts and pairs. The same seeds always give the same model."""
    texts = [text for text, _ in seeds.improvable] + [text for pair in seeds.pairs for text in pair]
    raw = np.array([is_raw for _, is_raw in seeds.improvable] + [True, False] * len(seeds.pairs))
    weight = np.array([1.0] * len(seeds.improvable) + [PAIRED, PAIRED] * len(seeds.pairs))
    rows = np.array([measures(look(text)) for text in texts], dtype=np.float32)
    # both prompts of a pair are in the same fold
    alone = len(seeds.improvable)
    fold = np.array([row % FOLDS if row < alone else (row - alone) // 2 % FOLDS for row in range(len(texts))])
    held_out = np.zeros(len(texts))
    for part in range(FOLDS):
        arrays = _fit(rows[fold != part], raw[fold != part], weight[fold != part])
        scaled = (rows[fold == part] - arrays["mean"]) / arrays["scale"]
        held_out[fold == part] = scaled @ arrays["weights"] + arrays["bias"][0]
    arrays = _fit(rows, raw, weight)
    shift = np.log(THRESHOLD / (1 - THRESHOLD)) - np.quantile(held_out[~raw], 1 - ALARMS)
    return RawnessModel({**arrays, "bias": (arrays["bias"] + shift).astype(np.float32)})


def _fit(rows: Array, raw: NDArray[np.bool_], weight: NDArray[np.float64]) -> dict[str, Array]:
    from sklearn.linear_model import LogisticRegression

    mean, scale = rows.mean(axis=0), rows.std(axis=0) + np.float32(1e-6)
    fitted = LogisticRegression(C=0.1, max_iter=500).fit((rows - mean) / scale, raw, sample_weight=weight)
    weights, bias = fitted.coef_[0].astype(np.float32), fitted.intercept_.astype(np.float32)
    return {"mean": mean, "scale": scale, "weights": weights, "bias": bias}
