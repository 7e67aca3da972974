"""Does the work of `foreword classifier`. This is a module of its own, because it imports the embedding models."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from gateway.adapters import Parts, build_adapter
from gateway.context.embedding.batcher import Batcher
from gateway.context.embedding.sentence import SentenceEmbedder
from gateway.context.embedding.static import load_static
from gateway.context.task.head import save as save_head
from gateway.context.task.train import train as train_head
from gateway.errors import ConfigError, Problem, TemplateError
from gateway.ports import Embedder
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.classifier.confusion import Confusion, confusion
from gateway.prompt.classifier.evaluate import Evaluation
from gateway.prompt.classifier.evaluate import evaluate as evaluate_on
from gateway.prompt.classifier.explanation import Explanation
from gateway.prompt.classifier.explanation import why as why_of
from gateway.prompt.classifier.labelled import NONE, Labelled, is_outside, read_labelled, write_labelled
from gateway.prompt.classifier.lessons import Seeds, read_seeds
from gateway.prompt.classifier.model import ClassifierModel
from gateway.prompt.classifier.model_file import FORMAT, load, save
from gateway.prompt.classifier.train import LABELLED, Embedders, Training, kept_labels, model_folder, teach, trained
from gateway.prompt.classifier.train_tier import TrainedTier
from gateway.prompt.library.library import Library, load_library
from gateway.settings.tables import Settings


class TrainReport(Struct, frozen=True):
    """The contents of `report.json`."""

    prompts: int
    intents: int
    labelled: int
    took_s: float
    figures: dict[str, float]


class TrainingSummary(Struct, frozen=True):
    """The result of a training."""

    folder: Path
    report: TrainReport
    confusion: str


class ShownTier(Struct, frozen=True):
    language: str
    kind: str
    intents: int
    examples: int
    words: int
    temperature: float


class ModelSummary(Struct, frozen=True):
    folder: str
    format: int
    checksum: str
    megabytes: float
    tiers: tuple[ShownTier, ...]
    figures: dict[str, float]


def train(
    settings: Settings,
    data: Sequence[Path],
    out: Path | None,
    *,
    templates: bool,
    forget: bool,
    threads: int | None,
    progress: Callable[[str], None],
) -> TrainingSummary:
    """Train the classifier, write model and report, and store the labelled prompts for later trainings."""
    started = time.perf_counter()
    folder = settings.data_folder
    given = read_labelled(data)
    labelled = given or (() if forget else kept_labels(folder))
    library, seeds = _library(settings) if templates else Library(), read_seeds()
    if not templates:
        seeds = Seeds(seeds.improvable, seeds.pairs, ())
    embedders = _embedders(settings)
    if isinstance(embedders.sentence, SentenceEmbedder):
        embedders.sentence.load()  # first, because it sets the number of threads of the whole process
    with threadpool_limits(threads or os.cpu_count() or 1):
        training = teach(library, embedders, seeds, labelled, folder, progress)
    target = out or model_folder(library, embedders, folder, seeds, labelled)
    report, confusions = _report(training, len(labelled), time.perf_counter() - started)
    save(training.model, target)
    _write_report(training, report, confusions, target)
    if out is None:
        # after the model: a running gateway that sees the new prompts must find the new model, too
        _keep(labelled, folder / "classifier" / LABELLED)
    return TrainingSummary(target, report, confusions)


def shown(settings: Settings, folder: Path | None) -> ModelSummary:
    """Describe the model in `folder`, or the gateway's model if `folder` is None."""
    model, place = _model(settings, folder)
    tiers = [
        ShownTier(
            language,
            kind,
            sum(not is_outside(name) for name in tier.names.classes),
            len(tier.names.anchors),
            len(tier.names.vocabulary),
            float(tier.arrays["temperature"][0]),
        )
        for language, kinds in model.tiers.items()
        for kind, tier in kinds.items()
    ]
    size = (place / "model.npz").stat().st_size / 1e6
    return ModelSummary(str(place), FORMAT, model.checksum, size, tuple(tiers), model.report)


async def explained(settings: Settings, text: str, folder: Path | None) -> Explanation:
    classifier, batcher = _classifier(settings, folder)
    try:
        return await why_of(classifier, text)
    finally:
        await batcher.aclose()


async def measured(settings: Settings, data: Sequence[Path], folder: Path | None) -> Evaluation:
    rows = read_labelled(data)
    classifier, batcher = _classifier(settings, folder)
    try:
        return await evaluate_on(classifier, rows, settings.prompt.confidence)
    finally:
        await batcher.aclose()


def classifier_of(settings: Settings, library: Library) -> tuple[Classifier, Batcher]:
    """Return the gateway's classifier for this library, and the batcher that embeds its texts.

    The classifier is trained if necessary. The caller closes the batcher.
    """
    embedders = _embedders(settings)
    return _with_embedders(trained(library, embedders, settings.data_folder), settings, embedders)


def _classifier(settings: Settings, folder: Path | None) -> tuple[Classifier, Batcher]:
    return _with_embedders(_model(settings, folder)[0], settings, _embedders(settings))


def _with_embedders(model: ClassifierModel, settings: Settings, embedders: Embedders) -> tuple[Classifier, Batcher]:
    assert embedders.sentence is not None
    batcher = Batcher(embedders.sentence)
    return Classifier(model, settings.prompt, embedders.static, batcher), batcher


def _model(settings: Settings, folder: Path | None) -> tuple[ClassifierModel, Path]:
    if folder is not None:
        return load(folder), folder
    library, embedders = _library(settings), _embedders(settings)
    trained(library, embedders, settings.data_folder)
    place = model_folder(library, embedders, settings.data_folder, read_seeds(), kept_labels(settings.data_folder))
    return load(place), place


def _library(settings: Settings) -> Library:
    library, broken = load_library([(settings.root / folder).resolve() for folder in settings.prompt.templates])
    for error in broken:
        if isinstance(error, TemplateError):
            raise error
    return library


def _embedders(settings: Settings) -> Embedders:
    made = _sentence_embedder(settings)
    static = load_static(made, settings.data_folder) if isinstance(made, SentenceEmbedder) else None
    return Embedders(static, made)


def _sentence_embedder(settings: Settings) -> Embedder:
    if settings.embedder is None:
        where = f"{settings.file} [embedder]"
        raise ConfigError([Problem(where, "the classifier needs one", 'Add [embedder] with kind = "sentence".')])
    problems: list[Problem] = []
    made: Embedder | None = build_adapter("embedders", "embedder", settings.embedder, Parts(settings), problems)
    if made is None:
        raise ConfigError(problems)
    return made


def _report(training: Training, labelled: int, took_s: float) -> tuple[TrainReport, str]:
    last = {language: list(kinds.values())[-1] for language, kinds in training.tiers.items()}
    names = {str(name) for tier in last.values() for name in tier.labels if not is_outside(str(name))}
    prompts = sum(len(tier.labels) for tier in last.values())
    report = TrainReport(prompts, len(names), labelled, took_s, training.model.report)
    confusions = "".join(f"{language}, held out:\n{_confused(tier).text()}\n" for language, tier in last.items())
    return report, confusions


def _confused(tier: TrainedTier) -> Confusion:
    """Return the confusion matrix of the tier's decisions on the held-out cases."""
    right = [NONE if is_outside(name) else name for name in tier.labels.tolist()]
    return confusion(right, tier.held_out.top.tolist())


def _write_report(training: Training, report: TrainReport, confusions: str, folder: Path) -> None:
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    (folder / "confusion.txt").write_text(confusions, "utf-8")


def _keep(labelled: Sequence[Labelled], file: Path) -> None:
    if labelled:
        write_labelled(labelled, file)
    else:
        file.unlink(missing_ok=True)


def train_tasks(settings: Settings, file: Path) -> dict[str, float]:
    """Train the head that classifies what tasks need, and write it to `file`.

    Returns the share of tasks that each of the head's models classifies correctly. The patterns of these tasks are not
    used for training.
    """
    head, shares = train_head(_sentence_embedder(settings))
    save_head(head, file)
    return shares
