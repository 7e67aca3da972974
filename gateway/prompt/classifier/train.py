"""Trains the classifier, or reads the one that was trained on the same things.

scikit-learn and scipy are used here and in what this calls; a request needs numpy. What a tier is
learned from is in `lessons.py`, how in `train_tier.py`, and how its trust is made honest in
`calibrate.py`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.ports import Embedder
from gateway.prompt.classifier.embedding_cache import EmbeddingCache
from gateway.prompt.classifier.fingerprints import fingerprints
from gateway.prompt.classifier.labelled import Labelled, read_labelled
from gateway.prompt.classifier.lessons import Seeds, lessons, read_seeds
from gateway.prompt.classifier.model import ClassifierModel, Tier
from gateway.prompt.classifier.model_file import ModelUnusable, load, save
from gateway.prompt.classifier.train_rawness import train_looks
from gateway.prompt.classifier.train_tier import Embed, TrainedTier, train_tier
from gateway.prompt.library.library import Library
from gateway.prompt.templates.fields import ExamplePool
from gateway.prompt.templates.template import Template

log = logging.getLogger("foreword.classify")

RECIPE = "9"  # part of the key under which a trained model is kept: raise it when training changes
LABELLED = "labelled.jsonl"
"""In the folder `classifier` of the data folder: the labelled prompts that `foreword classifier train` was given."""

Progress = Callable[[str], None]


class Embedders(Struct, frozen=True):
    """The two tiers of embeddings; None where there is none. They serve English."""

    static: Embedder | None = None
    sentence: Embedder | None = None


class Training(Struct, frozen=True):
    """A trained model, and what each tier said of the cases that were left out, by language and tier."""

    model: ClassifierModel
    tiers: dict[str, dict[str, TrainedTier]]


def trained(library: Library, embedders: Embedders, data_folder: Path, seeds: Seeds | None = None) -> ClassifierModel:
    """The model for exactly this library, these embedders, seeds and labelled prompts: from the data folder,
    or trained now.

    Blocking: some seconds of one core the first time, milliseconds after that.
    """
    seeds = seeds or read_seeds()
    labelled = kept_labels(data_folder)
    folder = model_folder(library, embedders, data_folder, seeds, labelled)
    if (folder / "model.json").exists():
        try:
            return load(folder)
        except ModelUnusable as error:
            log.warning("classifier is trained again", extra={"reason": str(error)})
    model = train(library, embedders, seeds, labelled, data_folder)
    save(model, folder)
    return model


def model_folder(
    library: Library, embedders: Embedders, data_folder: Path, seeds: Seeds, labelled: Sequence[Labelled] = ()
) -> Path:
    """Where the model of exactly these things is kept."""
    return data_folder / "classifier" / training_key(library, embedders, seeds, labelled)


def kept_labels(data_folder: Path) -> tuple[Labelled, ...]:
    """The labelled prompts that every training from now on learns from as well."""
    file = data_folder / "classifier" / LABELLED
    return read_labelled([file]) if file.exists() else ()


def training_key(library: Library, embedders: Embedders, seeds: Seeds, labelled: Sequence[Labelled] = ()) -> str:
    """Sixteen hex digits that change with anything that training depends on."""
    intents = sorted((t.language.value, t.id, _always(t), t.intent) for t in library.templates if t.active)
    names = [embedder.name if embedder else "" for embedder in (embedders.static, embedders.sentence)]
    fixed = fingerprints(template for template in library.templates if template.active)
    written = msgspec.json.encode([RECIPE, intents, names, seeds, labelled, fixed])
    return hashlib.sha256(written).hexdigest()[:16]


def train(
    library: Library,
    embedders: Embedders,
    seeds: Seeds,
    labelled: Sequence[Labelled] = (),
    data_folder: Path | None = None,
) -> ClassifierModel:
    """A model for every language that the library's active templates or the labelled prompts speak.

    On one core: the gateway is serving meanwhile, and BLAS threads that wait for each other are slower.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    with threadpool_limits(1):
        return teach(library, embedders, seeds, labelled, data_folder).model


def teach(
    library: Library,
    embedders: Embedders,
    seeds: Seeds,
    labelled: Sequence[Labelled] = (),
    data_folder: Path | None = None,
    progress: Progress = lambda what: None,
) -> Training:
    """The same with what was held out. `data_folder`: where embeddings are kept, so that the next training is fast."""
    found: dict[str, dict[str, TrainedTier]] = {}
    for lesson in lessons(library, seeds, labelled):
        kinds: dict[str, Embedder | None] = {"words": None}
        if lesson.language == "en":
            both = {"static": embedders.static, "sentence": embedders.sentence}
            kinds = {kind: embedder for kind, embedder in both.items() if embedder} or kinds
        found[lesson.language] = {}
        for kind, embedder in kinds.items():
            progress(f"{lesson.language} {kind}: {len(lesson.cases)} prompts")
            embed = _embed(embedder, kind, data_folder, progress) if embedder else None
            found[lesson.language][kind] = train_tier(lesson, embed)
    eager = {template.intent.name for template in library.templates if template.active and _always(template)}
    model = ClassifierModel(
        trained_on=training_key(library, embedders, seeds, labelled),
        tiers=_each(found, lambda one: one.tier),
        looks=train_looks(seeds),
        eager=tuple(sorted(eager)),
        report={
            f"{language} {kind} {name}": value
            for language, kinds in found.items()
            for kind, one in kinds.items()
            for name, value in one.honest.figures.items()
        },
        fixed=fingerprints(template for template in library.templates if template.active),
    )
    return Training(model, found)


def _each(found: dict[str, dict[str, TrainedTier]], part: Callable[[TrainedTier], Tier]) -> dict[str, dict[str, Tier]]:
    return {language: {kind: part(one) for kind, one in kinds.items()} for language, kinds in found.items()}


def _embed(embedder: Embedder, kind: str, data_folder: Path | None, progress: Progress) -> Embed:
    # the static embedding is faster than the file it would be kept in
    if kind != "sentence" or data_folder is None:
        return embedder.embed
    return EmbeddingCache(embedder, data_folder / "classifier", progress).embed


def _always(template: Template) -> bool:
    """Whether it adds what no wording of a prompt makes up for: it says so, or has a pool of labelled examples of
    the very task. A pool whose inputs stand for the whole query shows general ways of answering, no more.
    """
    pool = template.examples
    return template.intent.always or (isinstance(pool, ExamplePool) and pool.slot != "query")
