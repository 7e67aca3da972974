"""Judges whether a prompt is raw: a logistic model on `features`, the same in every language. Plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from operator import mul, sub
from typing import TYPE_CHECKING, TypeAlias

from gateway.prompt.classifier.features import NAMES, features
from gateway.prompt.classifier.view import Look

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float32]

MEASURED = (*NAMES, "text to work on")
FOR, AGAINST = tuple([f"+{name}" for name in MEASURED]), tuple([f"-{name}" for name in MEASURED])


class RawnessModel:
    """Estimates the probability that a rewrite can help, from the form of the prompt alone."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        """`arrays`: mean, scale, weights [features]; bias [1]."""
        self.arrays = dict(arrays)
        mean, scale, weights = (arrays[name].tolist() for name in ("mean", "scale", "weights"))
        # Python is faster than numpy for this few numbers
        self._mean, self._slope = mean, [w / s for s, w in zip(scale, weights, strict=True)]
        self._bias = float(arrays["bias"][0])

    def judge(self, measured: list[float]) -> tuple[float, tuple[str, ...]]:
        """The probability that a rewrite can help, and the names of the three strongest features for and against it.

        measured: [features], as `measures` returns them
        """
        pushes = [*map(mul, map(sub, measured, self._mean), self._slope)]
        best = sorted(range(len(pushes)), key=[*map(abs, pushes)].__getitem__, reverse=True)[:3]
        reasons = tuple([(FOR if pushes[place] > 0 else AGAINST)[place] for place in best])
        return logistic(sum(pushes) + self._bias), reasons


def measures(seen: Look) -> list[float]:
    """The features of the instruction. The payload does not show the user's own style, so it is not measured."""
    return [*features(seen.request if seen.rule else seen.text), float(bool(seen.rule))]


def logistic(score: float) -> float:
    """The probability of a score, clipped so that exp does not overflow."""
    return 1.0 / (1.0 + exp(-min(60.0, max(-60.0, score))))
