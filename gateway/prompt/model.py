"""A trained classifier as plain arrays, and what they say about a prompt. numpy only.

`train.py` makes one. It is kept as `model.npz` (arrays, never pickled objects) beside `model.json`
(names, texts, and the checksum of the arrays), so a file that was cut or altered is refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from math import exp, log
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.errors import ForewordError
from gateway.prompt.features import NAMES, features
from gateway.prompt.look import Keywords, Look, tokens

Array: TypeAlias = NDArray[np.float32]
FORMAT = 1
SAME = 0.995  # from this likeness on, a prompt asks just what an example asks
NONE = ""  # the class of prompts that no template is for
GATE = ("top", "margin", "entropy", "nearest", "nearest five", "nearest of its own", "none")


class ModelUnusable(ForewordError):
    """A classifier's file is damaged or of another version; train again."""


class Verdict(Struct, frozen=True):
    """What one tier thinks. `confidence`: the calibrated probability that `name` is right."""

    name: str
    confidence: float
    none: float
    """The probability that no template is for this."""
    nearest: str = ""
    similarity: float = 0.0
    words: tuple[str, ...] = ()


class Names(Struct, frozen=True):
    """What a tier's rows and columns mean."""

    language: str
    classes: tuple[str, ...]
    vocabulary: tuple[str, ...]
    anchors: tuple[str, ...]
    keywords: dict[str, tuple[str, ...]]


class Tier:
    """One classifier: words, and perhaps an embedding, to a class and the trust in it."""

    def __init__(self, names: Names, arrays: Mapping[str, Array]) -> None:
        """`arrays`: idf [words]; words [words, classes]; vector [dimensions, classes] (0 dimensions: no
        embedding); bias [classes]; temperature [1]; anchors [anchors, dimensions or words], unit rows;
        anchor_class [anchors]; gate [features + 1]."""
        self.names = names
        self.arrays = dict(arrays)
        self._keywords = Keywords(names.keywords)
        self._column = {word: column for column, word in enumerate(names.vocabulary)}
        self._own = arrays["anchor_class"].astype(np.int64)
        self._known = np.array([name != NONE for name in names.classes])
        self._examples = [np.flatnonzero(self._own == place) for place in range(len(names.classes))]

    def judge(self, seen: Look, vector: Array | None = None) -> Verdict:
        """`vector`: [dimensions], the embedding of `seen.asked`; None for a tier of words alone."""
        columns, weights = self._weigh(seen)
        chances = self.chances(columns, weights, vector)
        likeness = self._likeness(columns, weights, vector)
        top = int((chances * self._known).argmax())
        likest = int(likeness.argmax()) if len(likeness) else -1
        if likest >= 0 and likeness[likest] >= SAME:
            return self._recognise(likest, columns, weights)
        examples = self._examples[top]
        nearest = int(examples[likeness[examples].argmax()]) if len(examples) else -1
        signs = gate_features(chances, likeness, examples, self._known)
        gate = self.arrays["gate"]
        within = logistic(float(signs @ gate[:-1] + gate[-1]))
        share = float(chances[top]) / max(float(chances @ self._known), 1e-9)
        return Verdict(
            name=self.names.classes[top],
            confidence=within * share,
            none=1.0 - within,
            nearest=self.names.anchors[nearest] if nearest >= 0 else "",
            similarity=float(likeness[nearest]) if nearest >= 0 else -1.0,
            words=self._strongest(columns, weights, top),
        )

    def _recognise(self, anchor: int, columns: NDArray[np.int64], weights: Array) -> Verdict:
        """The prompt asks what a template's own example asks, word for word."""
        top = int(self._own[anchor])
        words = self._strongest(columns, weights, top)
        return Verdict(self.names.classes[top], 1.0, 0.0, self.names.anchors[anchor], 1.0, words)

    def chances(self, columns: NDArray[np.int64], weights: Array, vector: Array | None) -> Array:
        """[classes], summing to 1, after temperature."""
        arrays = self.arrays
        scores = weights @ arrays["words"][columns] + arrays["bias"]
        if vector is not None:
            scores = scores + vector @ arrays["vector"]
        return softmax(scores / float(arrays["temperature"][0]))

    def _weigh(self, seen: Look) -> tuple[NDArray[np.int64], Array]:
        """The known words of a prompt as columns, with tf-idf weights of length 1."""
        counted: dict[int, int] = {}
        for word in tokens(seen, self.names.language, self._keywords):
            column = self._column.get(word)
            if column is not None:
                counted[column] = counted.get(column, 0) + 1
        columns = np.fromiter(counted.keys(), np.int64, len(counted))
        counts = np.fromiter(counted.values(), np.float32, len(counted))
        weights = (1.0 + np.log(counts)) * self.arrays["idf"][columns]
        length = float(np.sqrt(weights @ weights))
        return columns, (weights / length if length else weights).astype(np.float32)

    def _likeness(self, columns: NDArray[np.int64], weights: Array, vector: Array | None) -> Array:
        anchors = self.arrays["anchors"]
        return np.asarray(anchors @ vector if vector is not None else anchors[:, columns] @ weights)

    def _strongest(self, columns: NDArray[np.int64], weights: Array, top: int, limit: int = 3) -> tuple[str, ...]:
        """The words that speak most for the class."""
        push = weights * self.arrays["words"][columns, top]
        best = np.argsort(-push)[:limit]
        return tuple(self.names.vocabulary[columns[row]] for row in best if push[row] > 0.0)


class Looks:
    """Whether a prompt looks raw: a logistic model on `features`, the same in every language."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        """`arrays`: mean, scale, weights [features]; bias [1]."""
        self.arrays = dict(arrays)
        mean, scale, weights = (arrays[name].tolist() for name in ("mean", "scale", "weights"))
        # so few numbers are faster in Python than in numpy
        self._terms = [(m, w / s) for m, s, w in zip(mean, scale, weights, strict=True)]
        self._bias = float(arrays["bias"][0])

    def judge(self, seen: Look) -> tuple[float, tuple[str, ...]]:
        """The probability that a rewrite can help, and what speaks most for and against it."""
        measured = zip(measures(seen), self._terms, strict=True)
        pushes = [(value - mean) * weight for value, (mean, weight) in measured]
        best = sorted(zip(pushes, MEASURED, strict=True), key=lambda push: -abs(push[0]))[:3]
        told = tuple(f"{'+' if push > 0 else '-'}{name}" for push, name in best)
        return logistic(sum(pushes) + self._bias), told


MEASURED = (*NAMES, "text to work on")


def measures(seen: Look) -> list[float]:
    """The features of what is asked; the text to work on is not the asker's style."""
    return [*features(seen.asked if seen.rule else seen.text), float(bool(seen.rule))]


class Model(Struct, frozen=True):
    """Everything that was trained together. `tiers` by language, then by `static`, `sentence` or `words`."""

    trained_on: str
    tiers: dict[str, dict[str, Tier]]
    looks: Looks
    eager: tuple[str, ...] = ()
    """Intents whose template shows labelled examples of the very task: a help however well one asks."""
    report: dict[str, float] = {}


class _Header(Struct, frozen=True):
    format: int
    trained_on: str
    checksum: str
    tiers: dict[str, dict[str, Names]]
    eager: tuple[str, ...]
    report: dict[str, float]


def gate_features(chances: Array, likeness: Array, examples: NDArray[np.int64], known: NDArray[np.bool_]) -> Array:
    """[7]: how sure the classifier is, and how near the prompt is to anything it was shown.

    `likeness` [anchors]: how alike each example is; `examples`: which of them are the top class's.
    All are of known classes.
    """
    # a few dozen numbers are faster in Python than in numpy
    within: list[float] = (chances * known).tolist()
    second, first = sorted([0.0, *within])[-2:]
    entropy = -sum(chance * log(chance + 1e-9) for chance in chances.tolist()) / log(max(2, len(chances)))
    best: list[float] = (np.partition(likeness, -5)[-5:] if len(likeness) >= 5 else likeness).tolist()
    of_top = float(likeness[examples].max()) if len(examples) else 0.0
    signs = (
        first,
        first - second,
        entropy,
        max([0.0, *best]),
        sum(best) / len(best) if best else 0.0,
        max(0.0, of_top),
        1.0 - sum(within),
    )
    return np.array(signs, dtype=np.float32)


def logistic(score: float) -> float:
    """The probability of a score. Clipped: beyond that it is as good as certain, and exp overflows."""
    return 1.0 / (1.0 + exp(-min(60.0, max(-60.0, score))))


def softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float32)


def save(model: Model, folder: Path) -> None:
    """Write `model.npz` and `model.json`; the header goes last, so a cut write is no model."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"looks.{key}": value for key, value in model.looks.arrays.items()}
    for language, tiers in model.tiers.items():
        for kind, tier in tiers.items():
            arrays |= {f"{language}.{kind}.{key}": value for key, value in tier.arrays.items()}
    draft = folder / f"model.npz.{os.getpid()}.tmp"
    with draft.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy's stub takes names for its option
    header = _Header(
        format=FORMAT,
        trained_on=model.trained_on,
        checksum=_checksum(draft),
        tiers={language: {kind: tier.names for kind, tier in tiers.items()} for language, tiers in model.tiers.items()},
        eager=model.eager,
        report=model.report,
    )
    draft.replace(folder / "model.npz")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(header)))
    draft.replace(folder / "model.json")


def load(folder: Path) -> Model:
    """Read a saved model. Raises `ModelUnusable` if anything about it is not as it was written."""
    try:
        header = msgspec.json.decode((folder / "model.json").read_bytes(), type=_Header)
        if header.format != FORMAT:
            raise ModelUnusable(
                f"{folder}: format {header.format}, this version reads {FORMAT}; delete it to train again"
            )
        if _checksum(folder / "model.npz") != header.checksum:
            raise ModelUnusable(f"{folder}/model.npz does not match its checksum; delete the folder to train again")
        with np.load(folder / "model.npz", allow_pickle=False) as file:
            arrays: dict[str, Array] = dict(file)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise ModelUnusable(f"{folder} cannot be read ({error}); delete it to train again") from error
    tiers = {
        language: {kind: Tier(names, _part(arrays, f"{language}.{kind}.")) for kind, names in kinds.items()}
        for language, kinds in header.tiers.items()
    }
    return Model(header.trained_on, tiers, Looks(_part(arrays, "looks.")), header.eager, header.report)


def _part(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
