"""Trains the classifier from what the library's templates say of themselves, and from a seed set of ours.

Per language: each `match` example is a case of its intent, each seed prompt in `unknown.jsonl` a
case of none, and each `not` example a case of whatever it fits best apart from its own intent. The
scores are made honest out of fold: a temperature for the probabilities, then a gate that learned
when the best intent is the right one. scikit-learn is used here only; a request needs numpy.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.ports import Embedder
from gateway.prompt.calibrate import FOLDS, fit, out_of_fold
from gateway.prompt.fields import Pool
from gateway.prompt.library import Library
from gateway.prompt.look import Keywords, Look, look, tokens
from gateway.prompt.model import (
    NONE,
    Array,
    Looks,
    Model,
    ModelUnusable,
    Names,
    Tier,
    load,
    measures,
    save,
)
from gateway.prompt.template import Template
from gateway.settings import Prompt

log = logging.getLogger("foreword.classify")

RECIPE = "4"  # part of the key under which a trained model is kept: raise it when training changes
SEED = Path(__file__).parent / "seed"
SURE = 0.5  # a `not` example that fits nothing this well is left out
PAIRED = 4.0  # a pair of one prompt raw and well put says more than two unrelated prompts
ALARMS = 0.15  # the share of well-put prompts that may look improvable
THRESHOLD = Prompt().improvable  # at this probability


class Seeds(Struct, frozen=True):
    """The prompts that we wrote: which look raw, pairs of raw and better, and which are nobody's intent."""

    improvable: tuple[tuple[str, bool], ...]
    pairs: tuple[tuple[str, str], ...]
    unknown: tuple[tuple[str, str], ...]
    """(text, language); without a language they are of every one."""


class Embedders(Struct, frozen=True):
    """The two tiers of embeddings; None where there is none. They serve English."""

    static: Embedder | None = None
    sentence: Embedder | None = None


class _Example(Struct, frozen=True):
    text: str
    intent: str
    seen: Look


class _Row(Struct):
    text: str = ""
    improvable: bool = False
    raw: str = ""
    better: str = ""
    language: str = ""


def read_seeds(folder: Path = SEED) -> Seeds:
    """The committed seed set."""
    return Seeds(
        improvable=tuple((row.text, row.improvable) for row in _rows(folder / "improvable.jsonl")),
        pairs=tuple((row.raw, row.better) for row in _rows(folder / "pairs.jsonl")),
        unknown=tuple((row.text, row.language) for row in _rows(folder / "unknown.jsonl")),
    )


def trained(library: Library, embedders: Embedders, data_folder: Path, seeds: Seeds | None = None) -> Model:
    """The model for exactly this library, these embedders and seeds: from the data folder, or trained now.

    Blocking: some seconds of one core the first time, milliseconds after that.
    """
    seeds = seeds or read_seeds()
    key = training_key(library, embedders, seeds)
    folder = data_folder / "classifier" / key
    if (folder / "model.json").exists():
        try:
            return load(folder)
        except ModelUnusable as error:
            log.warning("classifier is trained again", extra={"reason": str(error)})
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    # one core: the gateway is serving meanwhile, and BLAS threads that wait for each other are slower
    with threadpool_limits(1):
        model = train(library, embedders, seeds)
    save(model, folder)
    return model


def training_key(library: Library, embedders: Embedders, seeds: Seeds) -> str:
    """Sixteen hex digits that change with anything that training depends on."""
    intents = sorted((t.language.value, t.id, _teaches(t), t.intent) for t in library.templates if t.active)
    names = [embedder.name if embedder else "" for embedder in (embedders.static, embedders.sentence)]
    written = msgspec.json.encode([RECIPE, intents, names, seeds])
    return hashlib.sha256(written).hexdigest()[:16]


def train(library: Library, embedders: Embedders, seeds: Seeds) -> Model:
    """A model for every language that the library's active templates speak."""
    tiers: dict[str, dict[str, Tier]] = {}
    report: dict[str, float] = {}
    for language in sorted({template.language.value for template in library.templates if template.active}):
        kinds: dict[str, Embedder | None] = {"words": None}
        if language == "en":
            both = {"static": embedders.static, "sentence": embedders.sentence}
            kinds = {kind: embedder for kind, embedder in both.items() if embedder} or kinds
        tiers[language] = {}
        for kind, embedder in kinds.items():
            tier, figures = _train_tier(library, language, embedder, seeds)
            tiers[language][kind] = tier
            report |= {f"{language} {kind} {name}": value for name, value in figures.items()}
    eager = {template.intent.name for template in library.templates if template.active and _teaches(template)}
    return Model(
        trained_on=training_key(library, embedders, seeds),
        tiers=tiers,
        looks=train_looks(seeds),
        eager=tuple(sorted(eager)),
        report=report,
    )


def _teaches(template: Template) -> bool:
    """Whether it shows labelled examples of the very task: that no wording of a prompt makes up for.

    A pool whose inputs stand for the whole query shows general ways of answering, no more.
    """
    return isinstance(template.examples, Pool) and template.examples.slot != "query"


def _train_tier(
    library: Library, language: str, embedder: Embedder | None, seeds: Seeds
) -> tuple[Tier, dict[str, float]]:
    keywords = _keywords(library, language)
    cases = _cases(library, language, seeds)
    near_misses = _near_misses(library, language)
    everything = [*cases, *near_misses]
    vectors = _vectors(embedder, everything)
    documents = [tokens(case.seen, language, Keywords(keywords)) for case in everything]
    vocabulary, idf = _vocabulary(documents)
    words = np.stack([_weigh(document, vocabulary, idf) for document in documents])
    table = np.hstack([words, vectors]).astype(np.float32)
    labels = np.array([case.intent for case in cases])
    extra, extra_labels = _settle(table[: len(cases)], labels, table[len(cases) :], near_misses)
    honest = out_of_fold(table[: len(cases)], labels, extra, extra_labels, _anchor_columns(words.shape[1], embedder))
    fitted = fit(np.vstack([table[: len(cases)], extra]), np.concatenate([labels, extra_labels]))
    split = words.shape[1]
    classes = [str(name) for name in fitted.classes_]
    shown = np.flatnonzero(labels != NONE)
    arrays = {
        "idf": idf,
        "words": fitted.coef_[:, :split].T.astype(np.float32),
        "vector": fitted.coef_[:, split:].T.astype(np.float32),
        "bias": fitted.intercept_.astype(np.float32),
        "temperature": np.array([honest.temperature], np.float32),
        "anchors": (vectors if embedder else words)[shown].astype(np.float32),
        "anchor_class": np.array([classes.index(labels[row]) for row in shown], np.float32),
        "gate": honest.gate,
    }
    names = Names(language, tuple(classes), tuple(vocabulary), tuple(cases[row].text for row in shown), keywords)
    return Tier(names, arrays), honest.figures


def train_looks(seeds: Seeds) -> Looks:
    """The model of what a raw prompt looks like, from our seed set alone.

    Doing nothing is the safe error. So the bias is set, out of fold, where at most `ALARMS` of the
    well-put prompts reach `THRESHOLD`: the probability of a world in which most prompts are good.
    """
    texts = [text for text, _ in seeds.improvable] + [text for pair in seeds.pairs for text in pair]
    raw = np.array([is_raw for _, is_raw in seeds.improvable] + [True, False] * len(seeds.pairs))
    weight = np.array([1.0] * len(seeds.improvable) + [PAIRED, PAIRED] * len(seeds.pairs))
    rows = np.array([measures(look(text)) for text in texts], dtype=np.float32)
    # the two halves of a pair are always left out together
    alone = len(seeds.improvable)
    fold = np.array([row % FOLDS if row < alone else (row - alone) // 2 % FOLDS for row in range(len(texts))])
    held_out = np.zeros(len(texts))
    for part in range(FOLDS):
        arrays = _fit_looks(rows[fold != part], raw[fold != part], weight[fold != part])
        scaled = (rows[fold == part] - arrays["mean"]) / arrays["scale"]
        held_out[fold == part] = scaled @ arrays["weights"] + arrays["bias"][0]
    arrays = _fit_looks(rows, raw, weight)
    shift = np.log(THRESHOLD / (1 - THRESHOLD)) - np.quantile(held_out[~raw], 1 - ALARMS)
    return Looks({**arrays, "bias": (arrays["bias"] + shift).astype(np.float32)})


def _fit_looks(rows: Array, raw: NDArray[np.bool_], weight: NDArray[np.float64]) -> dict[str, Array]:
    from sklearn.linear_model import LogisticRegression

    mean, scale = rows.mean(axis=0), rows.std(axis=0) + np.float32(1e-6)
    fitted = LogisticRegression(C=0.1, max_iter=500).fit((rows - mean) / scale, raw, sample_weight=weight)
    weights, bias = fitted.coef_[0].astype(np.float32), fitted.intercept_.astype(np.float32)
    return {"mean": mean, "scale": scale, "weights": weights, "bias": bias}


def _settle(
    table: Array, labels: NDArray[np.str_], misses: Array, near_misses: Sequence[_Example]
) -> tuple[Array, NDArray[np.str_]]:
    """Give each `not` example the class that it fits best apart from its own intent's, or leave it out."""
    if not near_misses:
        return misses, np.array([], dtype=labels.dtype)
    fitted = fit(table, labels)
    chances = fitted.predict_proba(misses)
    barred = np.array([[name == miss.intent for name in fitted.classes_] for miss in near_misses])
    chances = np.where(barred, 0.0, chances)
    sure = chances.max(axis=1) >= SURE
    return misses[sure], fitted.classes_[chances.argmax(axis=1)][sure]


def _cases(library: Library, language: str, seeds: Seeds) -> list[_Example]:
    """Every prompt with a known class, once."""
    found = {
        text: template.intent.name
        for template in library.templates
        if template.active and template.language == language
        for text in template.intent.match
    }
    for text, spoken in seeds.unknown:
        if spoken in (language, ""):
            found.setdefault(text, NONE)
    return [_Example(text, intent, look(text)) for text, intent in found.items()]


def _near_misses(library: Library, language: str) -> list[_Example]:
    """The `not` examples; `intent` is the one they are not of."""
    return [
        _Example(text, template.intent.name, look(text))
        for template in library.templates
        if template.active and template.language == language
        for text in template.intent.not_
    ]


def _keywords(library: Library, language: str) -> dict[str, tuple[str, ...]]:
    return {
        template.intent.name: tuple(word.lower() for word in template.intent.keywords)
        for template in library.templates
        if template.active and template.language == language
    }


def _vectors(embedder: Embedder | None, cases: Sequence[_Example]) -> Array:
    if embedder is None:
        return np.zeros((len(cases), 0), np.float32)
    return np.asarray(embedder.embed([case.seen.asked for case in cases]), dtype=np.float32)


def _anchor_columns(words: int, embedder: Embedder | None) -> slice:
    """Which columns tell how alike two prompts are: the embedding's, or the words'."""
    return slice(words, None) if embedder else slice(0, words)


def _vocabulary(documents: Sequence[Sequence[str]]) -> tuple[list[str], Array]:
    """The words that stand in at least two prompts, and their inverse document frequency."""
    counts = Counter(word for document in documents for word in set(document))
    vocabulary = sorted(word for word, count in counts.items() if count >= 2)
    seen = np.array([counts[word] for word in vocabulary], dtype=np.float32)
    return vocabulary, (np.log((1.0 + len(documents)) / (1.0 + seen)) + 1.0).astype(np.float32)


def _weigh(words: Sequence[str], vocabulary: Sequence[str], idf: Array) -> Array:
    """[vocabulary]: tf-idf of length 1, as `Tier` weighs a prompt."""
    column = {word: index for index, word in enumerate(vocabulary)}
    row = np.zeros(len(vocabulary), np.float32)
    for word, count in Counter(words).items():
        if word in column:
            row[column[word]] = (1.0 + np.log(count)) * idf[column[word]]
    length = float(np.linalg.norm(row))
    return row / length if length else row


def _rows(file: Path) -> list[_Row]:
    return [msgspec.json.decode(line, type=_Row) for line in file.read_bytes().splitlines() if line.strip()]
