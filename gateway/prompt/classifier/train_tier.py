"""Trains one tier for one language. A tier finds an intent and a calibrated trust, from words and perhaps from an
embedding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import log

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import sparse  # comes with scikit-learn

from gateway.prompt.classifier.calibrate import ANCHORS, MANY, OUTSIDE_IN_LIFE, HeldOutResults, out_of_fold
from gateway.prompt.classifier.labelled import is_outside
from gateway.prompt.classifier.lessons import Lesson, Lessons
from gateway.prompt.classifier.model import Array, Names, Tier, forms
from gateway.prompt.classifier.regression import Fitted, TrainingRows, fit, join
from gateway.prompt.classifier.view import Keywords, Look, has_code, plain, tokens

SURE = 0.5  # a `not` example is left out if no class has at least this probability
LATENT = 96  # without an embedding: the dimensions of a prompt's place among the anchors
# The weight of words beside the embedding, chosen by the best held-out result. With many examples words count less.
WORDS_OF_FEW, WORDS_OF_MANY = 1.2, 0.8
# An intent needs a text (or code) if it has `FEWEST` examples and at least this share of them has one.
FEWEST, WITH_TEXT, WITH_CODE = 12, 0.85, 0.85

Embed = Callable[[Sequence[str]], Array]


class TrainedTier(Struct, frozen=True):
    """A tier, and its results on held-out cases."""

    tier: Tier
    held_out: HeldOutResults
    labels: NDArray[np.str_]
    texts: tuple[str, ...]


def train_tier(lesson: Lessons, embed: Embed | None) -> TrainedTier:
    """Train and calibrate one tier. `embed` turns texts into [texts, dimensions]. If it is None, the tier reads only
    words.
    """
    words_weight = WORDS_OF_FEW if len(lesson.cases) < MANY else WORDS_OF_MANY
    keywords = Keywords(lesson.keywords)
    everything = [*lesson.cases, *lesson.near_misses]
    documents = [tokens(case.seen, lesson.language, keywords) for case in everything]
    vocabulary, idf = _vocabulary(documents)
    words = weigh_all(documents, vocabulary, idf)
    vectors = _vectors(embed, everything)
    table = TrainingRows(words * np.float32(words_weight), vectors)
    labels = np.array([case.intent for case in lesson.cases])
    count = np.arange(len(everything))
    cases, misses = table.take(count[: len(labels)]), table.take(count[len(labels) :])
    extra, extra_labels = _settle(cases, labels, misses, lesson.near_misses)
    projection = None if embed else _projection(words[: len(labels)])
    points = vectors if projection is None else _unit(words @ projection)
    held_out = out_of_fold(
        cases,
        labels,
        extra,
        extra_labels,
        points[: len(labels)],
        np.array([forms(marks) for marks in documents[: len(labels)]], np.float32),
        [case.group for case in lesson.cases],
        OUTSIDE_IN_LIFE if lesson.seeded else None,
    )
    whole = join(cases, extra) if len(extra) else cases
    fitted = fit(whole, np.concatenate([labels, extra_labels]), held_out.near)
    return TrainedTier(
        _tier(lesson, fitted, held_out, vocabulary, idf, words_weight, points, projection),
        held_out,
        labels,
        tuple(case.text for case in lesson.cases),
    )


def _tier(
    lesson: Lessons,
    fitted: Fitted,
    held_out: HeldOutResults,
    vocabulary: list[str],
    idf: Array,
    words_weight: float,
    points: Array,
    projection: Array | None,
) -> Tier:
    split, classes = len(vocabulary), [str(name) for name in fitted.classes]
    shown = _anchors([case.intent for case in lesson.cases], classes)
    arrays = {
        "idf": idf,
        "words": fitted.weights[:split] * np.float32(words_weight),
        "vector": fitted.weights[split:-1],
        "bias": fitted.weights[-1],
        "temperature": np.array([held_out.temperature], np.float32),
        "anchors": points[shown].astype(np.float32),
        "anchor_class": np.array([classes.index(lesson.cases[row].intent) for row in shown], np.float32),
        "gate": held_out.gate,
    }
    if projection is not None:
        arrays["projection"] = projection
    requests = _requests(lesson)
    names = Names(
        language=lesson.language,
        classes=tuple(classes),
        vocabulary=tuple(vocabulary),
        anchors=tuple(lesson.cases[row].text for row in shown),
        keywords=lesson.keywords,
        near=lesson.near,
        requests=requests,
        listed=tuple(sorted(requests.keys() & {plain(case.seen.request) for case in lesson.cases if case.listed})),
        barred=_barred(lesson),
        on_text=_nearly_all(lesson, lambda seen: bool(seen.rule), WITH_TEXT),
        on_code=_nearly_all(lesson, lambda seen: has_code(seen.text), WITH_CODE),
        whole=lesson.whole,
    )
    return Tier(names, arrays)


def _nearly_all(lesson: Lessons, have: Callable[[Look], bool], share: float) -> tuple[str, ...]:
    """Return the intents for which `have` is true in nearly all examples."""
    total, having = Counter[str](), Counter[str]()
    for case in lesson.cases:
        if case.crossed:
            continue
        total[case.intent] += 1
        having[case.intent] += have(case.seen)
    enough = (name for name, count in total.items() if count >= FEWEST and having[name] >= share * count)
    return tuple(sorted(name for name in enough if not is_outside(name)))


def _barred(lesson: Lessons) -> dict[str, tuple[str, ...]]:
    """Return the intents that each `not` example excludes.

    The keys are the example's whole text, and its request without the payload. The request does not exclude an intent
    if a case of that intent has the same request.
    """
    requests = {(plain(case.seen.request), case.intent) for case in lesson.cases}
    barred: dict[str, set[str]] = {}
    for miss in lesson.near_misses:
        barred.setdefault(plain(miss.text), set()).add(miss.intent)
        if (plain(miss.seen.request), miss.intent) not in requests:
            barred.setdefault(plain(miss.seen.request), set()).add(miss.intent)
    return {text: tuple(sorted(intents)) for text, intents in sorted(barred.items())}


def _requests(lesson: Lessons) -> dict[str, str]:
    """Return the intent of each request in the examples. Requests are in the form that `plain` returns. A request with
    two intents is left out.
    """
    owners: dict[str, set[str]] = {}
    for case in lesson.cases:
        owners.setdefault(plain(case.seen.request), set()).add(case.intent)
    return {
        request: next(iter(names))
        for request, names in owners.items()
        if len(names) == 1 and not any(map(is_outside, names))
    }


def _anchors(intents: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Return the rows of the cases that prompts are compared with, sorted by class. At most `ANCHORS` cases of each
    intent are taken, evenly spaced.
    """
    own: dict[str, list[int]] = {}
    for row, intent in enumerate(intents):
        own.setdefault(intent, []).append(row)
    anchors = []
    for name in classes:
        rows = own.get(name, []) if not is_outside(name) else []
        step = max(1.0, len(rows) / ANCHORS)
        anchors += [rows[int(place * step)] for place in range(min(len(rows), ANCHORS))]
    return anchors


def _settle(
    table: TrainingRows, labels: NDArray[np.str_], misses: TrainingRows, near_misses: Sequence[Lesson]
) -> tuple[TrainingRows, NDArray[np.str_]]:
    """Return the rows and the classes of the `not` examples for training.

    Each example gets the most probable class other than the intent that it excludes. Examples that fit no class are
    left out.
    """
    if not near_misses:
        return misses, np.array([], dtype=labels.dtype)
    fitted = fit(table, labels)
    chances = fitted.chances(misses)
    barred = np.array([[name == miss.intent for name in fitted.classes] for miss in near_misses])
    chances = np.where(barred, 0.0, chances)
    sure = np.flatnonzero(chances.max(axis=1) >= SURE)
    return misses.take(sure), fitted.classes[chances.argmax(axis=1)][sure]


def _vectors(embed: Embed | None, cases: Sequence[Lesson]) -> Array:
    if embed is None:
        return np.zeros((len(cases), 0), np.float32)
    return np.asarray(embed([case.seen.request for case in cases]), dtype=np.float32)


def _vocabulary(documents: Sequence[Sequence[str]]) -> tuple[list[str], Array]:
    """Return the words that occur in at least two prompts, or three if there are many, with their inverse document
    frequency.
    """
    counts = Counter(word for document in documents for word in set(document))
    least = 2 if len(documents) < 5000 else 3
    vocabulary = sorted(word for word, count in counts.items() if count >= least)
    seen = np.array([counts[word] for word in vocabulary], dtype=np.float32)
    return vocabulary, (np.log((1.0 + len(documents)) / (1.0 + seen)) + 1.0).astype(np.float32)


def weigh_all(documents: Sequence[Sequence[str]], vocabulary: Sequence[str], idf: Array) -> sparse.csr_matrix:
    """Return the tf-idf rows of all documents, [documents, vocabulary], each of length 1. `Tier` computes the same for
    one prompt.
    """
    column = {word: index for index, word in enumerate(vocabulary)}
    columns: list[int] = []
    values: list[float] = []
    ends = [0]
    for document in documents:
        counted = Counter(column[word] for word in document if word in column)
        row = [(1.0 + log(count)) * float(idf[place]) for place, count in counted.items()]
        length = sum(value * value for value in row) ** 0.5 or 1.0
        columns += counted
        values += [value / length for value in row]
        ends.append(len(columns))
    shape = (len(documents), len(vocabulary))
    return sparse.csr_matrix((np.array(values, np.float32), columns, ends), shape=shape)


def _projection(words: sparse.csr_matrix) -> Array:
    """Return the directions in which prompts differ most, [vocabulary, LATENT]. A prompt's coordinates in these
    directions are its point among the anchors.
    """
    from sklearn.decomposition import TruncatedSVD

    directions = TruncatedSVD(min(LATENT, *words.shape), random_state=0).fit(words)
    return np.asarray(directions.components_.T, dtype=np.float32)


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-9), dtype=np.float32)
