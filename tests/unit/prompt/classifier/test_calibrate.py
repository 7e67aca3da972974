import numpy as np
import pytest

from gateway.prompt.classifier.calibrate import _signs, _temperature
from gateway.prompt.classifier.labelled import NONE
from gateway.prompt.classifier.model import gate_features, pooled, softmax


@pytest.mark.parametrize("intents", [1, 2, 5])
@pytest.mark.parametrize("none", [True, False])
def test_the_signs_of_many_prompts_are_those_of_each(intents: int, none: bool) -> None:
    chance = np.random.default_rng(intents)
    names = [f"intent{number}" for number in range(intents)]
    classes = np.array(sorted([*names, NONE] if none else names))
    own = np.array([name for number, name in enumerate(names) for _ in range(1 + 3 * number)])
    own = own[chance.permutation(len(own))]
    shown, left = (_unit(chance.normal(size=(count, 8))) for count in (len(own), 700))
    scores = chance.normal(size=(700, len(classes)), scale=4.0).astype(np.float32)

    found = _signs(scores, left, shown, own, classes)

    by_class = np.argsort(own, kind="stable")
    ends = np.searchsorted(np.searchsorted(classes, own[by_class]), np.arange(len(classes) + 1)).tolist()
    known = np.flatnonzero(classes != NONE).tolist()
    for row, (values, point) in enumerate(zip(scores, left, strict=True)):
        near = shown[by_class] @ point
        alone = gate_features(values.tolist(), known, ends, lambda one, near=near: near[ends[one] : ends[one + 1]], [])  # type: ignore[misc]
        assert found[row] == pytest.approx(alone.signs, abs=1e-5)


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_temperature_makes_chances_true(heat: float) -> None:
    chance = np.random.default_rng(0)
    scores = chance.normal(size=(4000, 6), scale=2.0).astype(np.float32)
    labels = np.array([chance.choice(6, p=row / row.sum()) for row in softmax(scores).astype(float)])
    assert _temperature(scores * np.float32(heat), labels) == pytest.approx(heat, rel=0.12)


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_a_doubt_between_intents_of_one_pool_is_none() -> None:
    scores = [2.0, 1.9, 0.0, 1.0]
    alone = gate_features(scores, [0, 1, 2], [0, 0, 0, 0, 0], lambda _: np.zeros(0, np.float32), [])
    together = pooled(alone, {0, 1}, [0, 1, 2])
    chances = softmax(np.array(scores))
    assert together.top == alone.top == 0
    assert together.signs[0] == pytest.approx(chances[0] + chances[1], abs=1e-6)
    assert together.signs[1] == pytest.approx(chances[0] + chances[1] - chances[2], abs=1e-6)
    assert together.signs[2:] == alone.signs[2:]
