"""The trained head: logistic models that give the kind of a task from its words. If the vector of the task is known,
the models use it too.

The head is a file in the package. `foreword classifier train-tasks` creates the file again.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from gateway.context.fence import language_of
from gateway.context.task.features import COLUMNS, columns, scale, sentences
from gateway.context.task.rules import is_order, ruled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gateway.ports import Vectors

FILE = Path(__file__).parent / "head.npz"
SURE = 0.6
"""A kind counts as certain if its probability is at least this."""
PROBE = "Which task is this?"
"""A sentence whose vector shows which embedder computed it."""
SAME_EMBEDDER = 0.99
RULE_ODDS, RULE_WEIGHT = 20.0, 3.0
"""If a rule matches a sentence, the first number multiplies the odds of the rule's kind, and the second number
multiplies the weight of the sentence.
"""


class TaskKind(StrEnum):
    """What a task needs from its text."""

    PLACE = "place"  # one place of the text is enough
    SUMMARY = "summary"
    WHOLE = "whole"  # all of the text: a list, a count, a total, an average, a comparison, a review
    # all of the text, and the answer is as long as the text: a translation, a correction, a conversion
    TRANSFORM = "transform"
    OTHER = "other"  # nothing: a sentence of a text, an introduction


ASKING = tuple(kind for kind in TaskKind if kind is not TaskKind.OTHER)


WHOLE_ODDS = 1.3
"""If `place` and `whole` are almost equally probable, the kind is `whole`: to read all of the text costs calls, and to
read only a part of it loses the rest.
"""
_PREFERENCES = [WHOLE_ODDS if kind is TaskKind.WHOLE else 1.0 for kind in ASKING]


class TaskVerdict(Struct, frozen=True):
    """The most probable kind of a task. `trust` is the probability of this kind."""

    kind: TaskKind = TaskKind.OTHER
    trust: float = 0.0

    @property
    def sure(self) -> bool:
        return self.trust >= SURE


class LinearModel(Struct, frozen=True):
    """A logistic model with the weights [features, kinds] and the bias [kinds]. The kinds are in the order of
    `TaskKind`.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def chances(self, own: list[int], vector: Vectors | None = None) -> NDArray[np.float32]:
        """Return the probabilities of the kinds of one text as an array [1, kinds]. `own` holds the text's columns, and
        `vector` its vector, [1, dimensions].
        """
        import numpy as np

        scores = (self.weights[own].sum(axis=0) * scale(own) + self.bias)[None]
        if vector is not None:
            scores = scores + vector @ self.weights[COLUMNS:]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), np.float32)


class TaskHead:
    """The models of all languages. A model `words` uses only words. A model `both` uses words, and vectors of the
    default embedder.

    `trained_on` is the digest of the patterns that the head was trained on. `probe` is the vector of `PROBE`.
    """

    def __init__(self, models: dict[str, LinearModel], spaced: frozenset[str], trained_on: str, probe: Vectors) -> None:
        self.models = models
        self.spaced = spaced
        self.trained_on = trained_on
        self.probe = probe

    def understands(self, probe: Vectors) -> bool:
        """Whether a vector of `PROBE` was computed by the embedder that the head was trained with."""
        return probe.shape == self.probe.shape and float(probe @ self.probe) > SAME_EMBEDDER

    def knows_meaning(self, text: str) -> bool:
        """Whether the head has a model that uses vectors for the language of a text."""
        return f"{language_of(text)}.both" in self.models

    def asks(self, text: str) -> float:
        """Return the probability that a text asks for something. In a text with several sentences, the sentence with
        the highest probability counts as much as the whole text. If a sentence is an order, the probability is 1.
        """
        units = self.units(text)
        whole, *parts = [float(1 - row[-1]) for row in self._chances(units, None)]
        if any(is_order(unit, language_of(unit)) for unit in units):
            return 1.0
        return (whole + max(parts)) / 2 if parts else whole

    def units(self, task: str) -> list[str]:
        """Return the texts that are classified: the whole task and, if it has several sentences, each of them."""
        parts = sentences(task)
        return [task, *parts] if len(parts) > 1 else [task]

    def verdict(self, units: list[str], vectors: Vectors | None = None) -> TaskVerdict:
        """Return the most probable kind of the task that has these units. `vectors` holds the vectors of the units,
        [units, dimensions], or is None if they are unknown.

        The more probable it is that a sentence asks for something, the more the sentence counts. Each sentence is
        classified in its own language.
        """
        chances = self._chances(units, vectors)
        kinds = [ruled(unit, language_of(unit)) for unit in units]
        for row, kind in enumerate(kinds):
            if kind:
                chances[row, ASKING.index(TaskKind(kind))] *= RULE_ODDS
        chances /= chances.sum(axis=1, keepdims=True)
        weights = 1 - chances[:, -1]
        weights[0] = 1.0
        weights *= [RULE_WEIGHT if kind else 1.0 for kind in kinds]
        shares = (weights[:, None] * chances[:, :-1]).sum(axis=0)
        shares /= shares.sum()
        best = int((shares * _PREFERENCES).argmax())
        return TaskVerdict(ASKING[best], float(shares[best]))

    def _chances(self, units: list[str], vectors: Vectors | None) -> NDArray[np.float32]:
        """Return the probabilities of the kinds as an array [units, kinds]."""
        import numpy as np

        made = [
            self._chances_in(language_of(unit), unit, None if vectors is None else vectors[place : place + 1])
            for place, unit in enumerate(units)
        ]
        return np.concatenate(made)

    def _chances_in(self, language: str, unit: str, vector: Vectors | None) -> NDArray[np.float32]:
        language = language if f"{language}.words" in self.models else "en"
        own = columns(unit, spaced=language in self.spaced)
        both = self.models.get(f"{language}.both")
        if vector is None or both is None or len(both.weights) != COLUMNS + vector.shape[1]:
            return self.models[f"{language}.words"].chances(own)
        return both.chances(own, VECTOR_WEIGHT * vector)


VECTOR_WEIGHT = 2.0
"""The length to which a task's vector is scaled beside the features of the words, whose length is 1."""


@cache
def shipped() -> TaskHead:
    """Return the head that is part of the package."""
    return load(FILE)


def load(path: Path) -> TaskHead:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        names = [name.removesuffix(".weights") for name in file.files if name.endswith(".weights")]
        models = {
            name: LinearModel(file[f"{name}.weights"].astype(np.float32), file[f"{name}.bias"].astype(np.float32))
            for name in names
        }
        return TaskHead(models, frozenset(file["spaced"].tolist()), str(file["trained_on"]), file["probe"])


def save(head: TaskHead, path: Path) -> None:
    """Write a head to its file. The weights are stored with half precision."""
    import numpy as np

    arrays: dict[str, NDArray[np.generic]] = {
        "spaced": np.array(sorted(head.spaced)),
        "trained_on": np.array(head.trained_on),
        "probe": head.probe,
    }
    for name, model in head.models.items():
        arrays[f"{name}.weights"] = model.weights.astype(np.float16)
        arrays[f"{name}.bias"] = model.bias.astype(np.float16)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # numpy's stub confuses the names with an option
