"""Judges whether a prompt is raw, by a logistic model on `features`. All languages share the model."""

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
    """Estimates from a prompt's form alone how probable it is that a rewrite helps."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        """`arrays` has mean, scale and weights, each [features], and bias [1]."""
        self.arrays = dict(arrays)
        mean, scale, weights = (arrays[name].tolist() for name in ("mean", "scale", "weights"))
        # for so few numbers Python is faster than numpy
        self._mean, self._slope = mean, [w / s for s, w in zip(scale, weights, strict=True)]
        self._bias = float(arrays["bias"][0])

    def judge(self, measured: list[float]) -> tuple[float, tuple[str, ...]]:
        """Return the probability that a rewrite helps, and the names of the three features that count most.

        `measured` [features] is the result of `measures`.
        """
        pushes = [*map(mul, map(sub, measured, self._mean), self._slope)]
        best = sorted(range(len(pushes)), key=[*map(abs, pushes)].__getitem__, reverse=True)[:3]
        reasons = tuple([(FOR if pushes[place] > 0 else AGAINST)[place] for place in best])
        return logistic(sum(pushes) + self._bias), reasons


def measures(seen: Look) -> list[float]:
    """Return the features of the instruction. The payload is left out, since the user may not have written it."""
    return [*features(seen.request if seen.rule else seen.text), float(bool(seen.rule))]


def logistic(score: float) -> float:
    """Turn a score into a probability. Clipping the score keeps exp from overflowing."""
    return 1.0 / (1.0 + exp(-min(60.0, max(-60.0, score))))
