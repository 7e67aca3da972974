"""Trains the classifier, or loads a classifier that was trained on the same data.

scikit-learn and scipy are used only for training; a request needs only numpy. `lessons.py` collects the data,
`train_tier.py` trains a tier, and `calibrate.py` calibrates it.
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
from gateway.prompt.classifier.instruction import InstructionModel
from gateway.prompt.classifier.labelled import Labelled, read_labelled
from gateway.prompt.classifier.lessons import Seeds, lessons, read_seeds
from gateway.prompt.classifier.model import ClassifierModel, Tier
from gateway.prompt.classifier.model_file import ModelUnusable, load, save
from gateway.prompt.classifier.train_instruction import train_instructions
from gateway.prompt.classifier.train_rawness import train_rawness
from gateway.prompt.classifier.train_tier import Embed, TrainedTier, train_tier
from gateway.prompt.language.vocabulary import VOCABULARY
from gateway.prompt.library.library import Library

log = logging.getLogger("foreword.classify")

RECIPE = "19"  # part of the key of a stored model; raise it when the training changes
LABELLED = "labelled.jsonl"
"""The operator's labelled prompts, in the folder `classifier` of the data folder. `foreword classifier train` writes
the file.
"""

Progress = Callable[[str], None]


class Embedders(Struct, frozen=True):
    """The embedders of the two tiers, or None for a tier without an embedder. Only English tiers use embedders."""

    static: Embedder | None = None
    sentence: Embedder | None = None


class Training(Struct, frozen=True):
    """A trained model, and the held-out results by language and tier."""

    model: ClassifierModel
    tiers: dict[str, dict[str, TrainedTier]]


def trained(library: Library, embedders: Embedders, data_folder: Path, seeds: Seeds | None = None) -> ClassifierModel:
    """Return the model for this library, these embedders, these seeds and the labelled prompts. If this model is
    stored, it is loaded. Otherwise the model is trained and stored.

    This call blocks. Training takes some seconds on one core, and loading takes milliseconds.
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
    """Return the folder of the model for these training data."""
    return data_folder / "classifier" / training_key(library, embedders, seeds, labelled)


def kept_labels(data_folder: Path) -> tuple[Labelled, ...]:
    """Read the labelled prompts of the last `foreword classifier train`. Every later training includes them."""
    file = data_folder / "classifier" / LABELLED
    return read_labelled([file]) if file.exists() else ()


def training_key(library: Library, embedders: Embedders, seeds: Seeds, labelled: Sequence[Labelled] = ()) -> str:
    """Return a key of 16 hex digits, which changes with any part of the training data."""
    intents = sorted((t.language.value, t.id, t.intent) for t in library.templates if t.active)
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
    """Train a model for every language of the active templates and the labelled prompts.

    Training uses one core, since the gateway serves requests meanwhile. More BLAS threads would be slower, since they
    wait for each other.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

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
    """Train like `train`, and return the held-out results too. The embeddings are cached in `data_folder`."""
    tiers: dict[str, dict[str, TrainedTier]] = {}
    instructions = _instructions(seeds)
    for lesson in lessons(library, seeds, labelled, instructions):
        kinds: dict[str, Embedder | None] = {"words": None}
        if lesson.language == "en":
            both = {"static": embedders.static, "sentence": embedders.sentence}
            kinds = {kind: embedder for kind, embedder in both.items() if embedder} or kinds
        tiers[lesson.language] = {}
        for kind, embedder in kinds.items():
            progress(f"{lesson.language} {kind}: {len(lesson.cases)} prompts")
            embed = _embed(embedder, kind, data_folder, progress) if embedder else None
            tiers[lesson.language][kind] = train_tier(lesson, embed)
    model = ClassifierModel(
        trained_on=training_key(library, embedders, seeds, labelled),
        tiers=_each(tiers, lambda trained: trained.tier),
        rawness=train_rawness(seeds),
        instructions=instructions,
        report={
            f"{language} {kind} {name}": value
            for language, kinds in tiers.items()
            for kind, trained_tier in kinds.items()
            for name, value in trained_tier.held_out.figures.items()
        },
        fixed=fingerprints(template for template in library.templates if template.active),
    )
    return Training(model, tiers)


def _instructions(seeds: Seeds) -> dict[str, InstructionModel]:
    models = {
        language: train_instructions([p for p in seeds.prompts if p.language == language], spaced=words.spaced)
        for language, words in VOCABULARY.items()
    }
    return {language: model for language, model in models.items() if model is not None}


def _each(tiers: dict[str, dict[str, TrainedTier]], part: Callable[[TrainedTier], Tier]) -> dict[str, dict[str, Tier]]:
    return {language: {kind: part(tier) for kind, tier in kinds.items()} for language, kinds in tiers.items()}


def _embed(embedder: Embedder, kind: str, data_folder: Path | None, progress: Progress) -> Embed:
    # computing a static embedding is faster than reading a file
    if kind != "sentence" or data_folder is None:
        return embedder.embed
    return EmbeddingCache(embedder, data_folder / "classifier", progress).embed
