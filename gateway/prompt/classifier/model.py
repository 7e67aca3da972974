"""A trained classifier as plain numpy arrays, and its verdict on one prompt.

`train.py` makes a model, and `model_file.py` stores it. Products are written `a.dot(b)`: for such small arrays, `a @ b`
takes several times as long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import pairwise
from math import exp, log, sqrt
from operator import add, mul
from typing import NamedTuple, TypeAlias

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from gateway.prompt.classifier.instruction import InstructionModel
from gateway.prompt.classifier.labelled import is_outside
from gateway.prompt.classifier.rawness import RawnessModel, logistic
from gateway.prompt.classifier.view import TECHNICAL, Keywords, Look, has_code, plain, tokens

Array: TypeAlias = NDArray[np.float32]
FORMS = (*TECHNICAL, "<code>")
"""The marks of a prompt's form that are inputs of the gate. Most requests about code or a machine have a template."""
GATE = ("top", "margin", "entropy", "nearest", "nearest five", "over the mean", "none", "score", *FORMS)
WITHOUT_TEXT = 0.3
"""If an intent needs a text or code and the prompt has none, the trust in the intent is multiplied by this."""
CANDIDATES = 3  # a prompt is compared with the examples of this many classes


class TierVerdict(Struct, frozen=True):
    """The verdict of one tier. `confidence` is the calibrated probability that the intent `name` is right."""

    name: str
    confidence: float
    none: float
    """The probability that no template fits the prompt."""
    nearest: str = ""
    similarity: float = 0.0
    words: tuple[str, ...] = ()
    listed: bool = False
    """Whether a template lists exactly this request as a `match` example."""
    technical: bool = False
    """Whether the request has a technical name."""


class Names(Struct, frozen=True):
    """The names of a tier's words and classes, and its examples."""

    language: str
    classes: tuple[str, ...]
    vocabulary: tuple[str, ...]
    anchors: tuple[str, ...]
    """The examples that a prompt is compared with, sorted by class."""
    keywords: dict[str, tuple[str, ...]]
    near: dict[str, tuple[str, ...]] = {}
    """For each intent, the other intents that its template serves too."""
    requests: dict[str, str] = field(default_factory=dict, name="asked")
    """Maps the request of each example to the example's intent. Requests are in the form that `plain` returns."""
    listed: tuple[str, ...] = ()
    """The keys of `requests` that come from `match` examples."""
    barred: dict[str, tuple[str, ...]] = {}
    """Maps each `not` example to the intents that it excludes. A key is the example with or without its payload, in the
    form that `plain` returns.
    """
    on_text: tuple[str, ...] = ()
    """The intents whose examples nearly always have a text to work on."""
    on_code: tuple[str, ...] = ()
    """The intents whose examples nearly always have code or an error message."""
    whole: bool = False
    """Whether prompts are read whole, with their payload."""


class Signs(NamedTuple):
    """The input of the gate, with intermediate results."""

    signs: list[float]
    """The gate's features, in the order of `GATE`."""
    top: int
    nearest: int
    """The index of the most similar anchor of the top class, or -1 if that class has no anchors."""
    similarity: float
    scores: list[float]
    """The scores of the classes; `softmax` turns them into probabilities."""


class TierFeatures(NamedTuple):
    """What a tier reads from a prompt."""

    columns: Sequence[int]
    weights: Array
    length: float
    """The Euclidean length of `weights`, by which the scores of the words are divided."""
    rows: Array
    """The weights of the known words for each class, [columns, classes]."""
    vector: Array | None
    forms: list[float]
    """For each of `FORMS`, whether the prompt has it."""


class Tier:
    """A classifier of prompts by words, and in some tiers by an embedding too."""

    def __init__(self, names: Names, arrays: Mapping[str, Array]) -> None:
        """`arrays` has these entries:

        idf [words], words [words, classes], bias [classes], temperature [1]
        vector [dimensions, classes], with 0 dimensions if the tier has no embedding
        anchors [anchors, dimensions], with rows of length 1, sorted by class
        anchor_class [anchors], gate [features + 1]
        projection [words, dimensions], only if the tier has no embedding; it maps words to a place among the anchors
        """
        self.names = names
        self.arrays = dict(arrays)
        self._keywords = Keywords(names.keywords)
        self._on_text, self._on_code = frozenset(names.on_text), frozenset(names.on_code)
        self._listed = frozenset(names.listed)
        self._column = {word: column for column, word in enumerate(names.vocabulary)}
        self._idf = np.ascontiguousarray(arrays["idf"])
        cool = np.float32(1.0) / arrays["temperature"][0]
        self._words, self._vector = (np.ascontiguousarray(arrays[name] * cool) for name in ("words", "vector"))
        self._bias: list[float] = (arrays["bias"] * cool).tolist()
        self._anchors, self._projection = np.ascontiguousarray(arrays["anchors"]), arrays.get("projection")
        self._known = [place for place, name in enumerate(names.classes) if not is_outside(name)]
        self._ends: list[int] = np.searchsorted(arrays["anchor_class"], np.arange(len(names.classes) + 1)).tolist()
        self._near = [self._anchors[start:end] for start, end in pairwise(self._ends)]
        row = {name: row for row, name in enumerate(names.classes)}
        self._pools = {
            row[name]: {row[name], *(row[other] for other in near if other in row)}
            for name, near in names.near.items()
            if name in row
        }
        gate: list[float] = arrays["gate"].tolist()
        self._gate, self._gate_bias = gate[:-1], gate[-1]

    def recall(self, seen: Look) -> TierVerdict | None:
        """Return a verdict with confidence 1 if the prompt's request equals the request of an example, else None."""
        request = plain(seen.request)
        name = self.names.requests.get(request)
        if name is None or name in self.names.barred.get(plain(seen.text), ()):
            return None
        return TierVerdict(name, 1.0, 0.0, seen.request, 1.0, listed=request in self._listed)

    def judge(self, seen: Look, vector: Array | None = None) -> TierVerdict:
        """Return the verdict on a prompt. `vector` [dimensions] is the embedding of `seen.request`, or None if the tier
        has no embedding.
        """
        known = self._allowed(seen)
        if not known:
            return TierVerdict("", 0.0, 1.0)
        read = self.read(seen, vector)
        signs = self.weigh(read, known)
        within = self.within(signs)
        name = self.names.classes[signs.top]
        if (not seen.rule and name in self._on_text) or (name in self._on_code and not has_code(seen.text)):
            within *= WITHOUT_TEXT
        return TierVerdict(
            name=name,
            confidence=within * self.share(signs),
            none=1.0 - within,
            nearest=self.names.anchors[signs.nearest] if signs.nearest >= 0 else "",
            similarity=signs.similarity,
            words=tuple(word for word, _ in self.strongest(read, signs.top)),
            technical=read.forms[0] > 0.0,
        )

    def read(self, seen: Look, vector: Array | None = None) -> TierFeatures:
        """Return what the tier reads from a prompt. The known words are columns with tf-idf weights."""
        known = self._column
        marks = tokens(seen, self.names.language, self._keywords)
        words = [known[word] for word in marks if word in known]
        columns = [*dict.fromkeys(words)]
        places = np.array(columns, np.intp)
        weights = self._idf.take(places)
        if len(columns) < len(words):  # in most prompts no word occurs twice
            counted = Counter(words)
            weights *= np.array([1.0 + log(counted[column]) for column in columns], np.float32)
        length = sqrt(weights.dot(weights)) or 1.0
        return TierFeatures(columns, weights, length, self._words.take(places, 0), vector, forms(marks))

    def _allowed(self, seen: Look) -> list[int]:
        """Return the classes of intents, except those that list this prompt as a `not` example."""
        barred = self.names.barred
        if not barred:
            return self._known
        out = {*barred.get(plain(seen.text), ()), *barred.get(plain(seen.request), ())}
        return [place for place in self._known if self.names.classes[place] not in out] if out else self._known

    def weigh(self, read: TierFeatures, known: Sequence[int] | None = None) -> Signs:
        """Return the scores of the classes, divided by the temperature, and the gate's input.

        `known` are indices of the classes to choose from; None stands for all intents.
        """
        length = read.length
        scores_of_words: list[float] = read.weights.dot(read.rows).tolist()
        scores = [score / length + bias for score, bias in zip(scores_of_words, self._bias, strict=True)]
        if read.vector is not None:
            scores = [*map(add, scores, read.vector.dot(self._vector).tolist())]
        point = self.place(read)
        known = self._known if known is None else known
        signs = gate_features(scores, known, self._ends, lambda place: self._near[place].dot(point), read.forms)
        pool = self._pools.get(signs.top)
        return pooled(signs, pool, known) if pool else signs

    def place(self, read: TierFeatures) -> Array:
        """Return the prompt as a point [dimensions] in the space of the anchors."""
        if read.vector is not None:
            return read.vector
        assert self._projection is not None
        point: Array = read.weights.dot(self._projection.take(np.array(read.columns, np.intp), 0))
        return point / max(np.float32(1e-9), np.float32(sqrt(point.dot(point))))

    def within(self, signs: Signs) -> float:
        """Return the probability that the prompt has an intent of the library."""
        return logistic(sum(map(mul, signs.signs, self._gate)) + self._gate_bias)

    def share(self, signs: Signs) -> float:
        """Return the probability of the top class, given that the prompt has an intent. If the template of the top
        class also serves other intents, these count as part of the top class.
        """
        return signs.signs[0] / max(1.0 - signs.signs[6], 1e-9)

    def strongest(self, read: TierFeatures, top: int, limit: int = 3) -> list[tuple[str, float]]:
        """Return the words that contribute most to the score of class `top`, with their contributions in logits."""
        push = [
            weight * row / read.length
            for weight, row in zip(read.weights.tolist(), read.rows[:, top].tolist(), strict=True)
        ]
        best = sorted(range(len(push)), key=push.__getitem__, reverse=True)[:limit]
        return [(self.names.vocabulary[read.columns[row]], push[row]) for row in best if push[row] > 0.0]

    def nearest(self, read: TierFeatures, limit: int = 5) -> list[tuple[str, str, float]]:
        """Return the anchors most similar to the prompt as (example, its intent, cosine), the most similar first."""
        likeness = self._anchors @ self.place(read)
        rows = np.argsort(-likeness)[:limit].tolist()
        own = self.arrays["anchor_class"]
        return [(self.names.anchors[r], self.names.classes[int(own[r])], float(likeness[r])) for r in rows]

    def pushes(self, signs: Signs) -> list[tuple[str, float, float]]:
        """Return (feature, its value, its contribution to the gate's score) for each feature."""
        return [(name, value, value * w) for name, value, w in zip(GATE, signs.signs, self._gate, strict=True)]


class ClassifierModel(Struct, frozen=True):
    """The parts of a classifier, which are trained together. `tiers` maps each language to its tiers. The key of a tier
    is `static`, `sentence` or `words`.
    """

    trained_on: str
    tiers: dict[str, dict[str, Tier]]
    rawness: RawnessModel
    instructions: dict[str, InstructionModel] = {}
    """The models that find the instruction in a prompt, by language."""
    report: dict[str, float] = {}
    fixed: tuple[str, ...] = ()
    """Fixed sentences of the templates. They show that a template has already written a prompt."""
    checksum: str = ""
    """The checksum of the model's file, or "" for a model in memory."""


def gate_features(
    values: Sequence[float],
    known: Sequence[int],
    ends: Sequence[int],
    near: Callable[[int], Array],
    form: Sequence[float],
) -> Signs:
    """Return the gate's input: how certain the classifier is, and how similar the prompt is to the examples.

    `values` are the scores of the classes, divided by the temperature. `known` are the indices of the classes that are
    intents. `near(class)` returns the similarity of the prompt to each anchor in [ends[class], ends[class + 1]). `form`
    has a number for each of `FORMS`. Only the examples of the most probable classes are compared, since comparing
    thousands of examples would take most of the time.
    """
    # for a few dozen numbers Python is faster than numpy
    highest = max(values)
    raised = [*map(exp, [value - highest for value in values])]
    total = sum(raised)
    best = sorted(known, key=values.__getitem__, reverse=True)[:CANDIDATES]
    first, second = raised[best[0]] / total, raised[best[1]] / total if len(best) > 1 else 0.0
    shares = sum(map(mul, raised, values)) / total
    entropy = (log(total) + highest - shares) / log(max(2, len(values)))
    own: list[float] = near(best[0]).tolist()
    likeness = list(own)
    for other in best[1:]:
        likeness += near(other).tolist()
    five = nlargest(5, likeness) or [0.0]
    mean = sum(likeness) / max(1, len(likeness))
    similarity = max(own, default=0.0)
    place = own.index(similarity) if own else -1
    none = 1.0 - sum(map(raised.__getitem__, known)) / total
    score = values[best[0]]
    signs = [first, first - second, entropy, five[0], sum(five) / len(five), five[0] - mean, none, score, *form]
    return Signs(signs, best[0], ends[best[0]] + place if place >= 0 else -1, similarity, list(values))


def forms(marks: Container[str]) -> list[float]:
    """Return for each of `FORMS` whether it is among the words and marks of a prompt."""
    return [float(form in marks) for form in FORMS]


def pooled(signs: Signs, pool: Container[int], known: Iterable[int]) -> Signs:
    """Return the signs as if all classes in `pool` were one class. The top class is in `pool`."""
    highest = max(signs.scores)
    raised = [*map(exp, [score - highest for score in signs.scores])]
    total = sum(raised)
    first = sum(raised[place] for place in known if place in pool) / total
    second = max((raised[place] for place in known if place not in pool), default=0.0) / total
    return signs._replace(signs=[first, first - second, *signs.signs[2:]])


def softmax(scores: Array) -> Array:
    """Turn scores into probabilities along the last axis. The result is float32."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float32)
