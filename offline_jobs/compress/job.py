"""The job `compress`: makes a variant of a local model, measures it in torch and in llama.cpp, and publishes it."""

import contextlib
import datetime
import importlib.metadata
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct

from gateway.backends.local.variants import (
    AUTO,
    MODEL,
    NAME,
    TORCH_FOLDER,
    Perplexities,
    Speeds,
    VariantManifest,
    variants_folder,
    write_manifest,
)
from gateway.resources import NoSuchResource, locate
from gateway.settings.tables import Settings
from offline_jobs.compress.gguf.export import Compressed, linear_names, write_compressed_tensors, write_model
from offline_jobs.compress.gguf.vocabulary import proven_pairs
from offline_jobs.compress.measuring.gate import pass_gate, perplexity, rise_of
from offline_jobs.compress.measuring.measure import losses_of, speeds_of
from offline_jobs.compress.measuring.perplexity import mean_losses, rounded_inputs
from offline_jobs.compress.methods.prune import zeros_of
from offline_jobs.compress.room import Forecast, forecast, look_for_room
from offline_jobs.compress.schemes import CompressOptions, Plan, notes_of, plan_of
from offline_jobs.compress.source import Source, bytes_in_half, digest_of, load_network, open_source
from offline_jobs.compress.stages import Bench, compressed
from offline_jobs.compress.texts import TextWindows, digest_of_windows, read_windows
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import JobFailed

SETTINGS = (
    *("group", "symmetric", "searched", "sparsity", "channels", "heads", "layers", "uneven"),
    *("steps", "layer_steps", "together", "rate", "dataset", "windows", "evaluated", "window_tokens"),
)
"""The options that the manifest records."""
LEFT_OVER = ("*.safetensors", "*.gguf", "*.half", "*.pt")
VERSIONED = ("torch", "transformers", "xllamacpp", "foreword")


class CompressReport(Struct, frozen=True):
    """The name, the sizes and the measured figures of the published variant."""

    name: str
    folder: str
    scheme: tuple[str, ...]
    before: Perplexities
    after: Perplexities
    rise: float
    bytes: int
    bytes_f16: int
    speeds: Speeds


@dataclass(frozen=True)
class Workshop:
    """The inputs that all stages of one job share. `original` is the source model in a file that llama.cpp can read."""

    run: JobRun
    options: CompressOptions
    plan: Plan
    source: Source
    digest: str
    original: Path
    windows: TextWindows

    @property
    def check(self) -> Callable[[], None]:
        return self.run.check


def run(run: JobRun, options: CompressOptions) -> CompressReport:
    torch.set_num_threads(options.threads)
    plan = plan_of(options)
    source = open_source(_located(run.settings, options.source), options.sha256)
    name = variant_name(options, source.path)
    folder = variants_folder(run.settings.data_folder) / name
    _refuse_existing(folder)
    look_for_room(forecast(source.config, plan, options), run.folder)
    digest = run.step("digest", str(source.path), lambda: digest_of(source.path), str)
    with contextlib.closing(_Draft(folder.parent)) as draft:
        shop = _workshop(run, options, plan, source, digest)
        before = _before(shop)
        model, pairs = compressed(
            shop.source, load_network(shop.source), Bench(plan, shop.windows, run.folder, run.check)
        )
        write_model(model, draft.folder / MODEL, pairs)
        after = _after(shop, model, draft.folder / MODEL)
        pass_gate(before, after, options.limit, changed=_changed(shop, model))
        if options.safetensors:
            write_compressed_tensors(model, draft.folder / TORCH_FOLDER)
        speeds = run.step("speeds", digest, lambda: _speeds(shop, draft.folder / MODEL), Speeds)
        manifest = _manifest(shop, model, name, draft.folder, before, after, speeds)
        write_manifest(draft.folder, manifest)
        draft.publish(folder)
    _clear(run.folder)
    return CompressReport(
        name, str(folder), plan.schemes, before, after, manifest.rise, manifest.bytes, manifest.bytes_f16, speeds
    )


def estimate(settings: Settings, options: CompressOptions) -> Spent:
    """Return the expected time. The job calls no model, so it spends no tokens."""
    return Spent(seconds=expected(settings, options).seconds)


def expected(settings: Settings, options: CompressOptions) -> Forecast:
    """Return the expected sizes and time. Raises `JobFailed` if the source is damaged or the scheme is unknown."""
    plan = plan_of(options)
    source = open_source(_located(settings, options.source), options.sha256)
    return forecast(source.config, plan, options)


def variant_name(options: CompressOptions, source: Path) -> str:
    """Return the name of the new variant. Raises `JobFailed` if the name is not valid as the name of a folder."""
    made = f"{source.stem}-{options.scheme}".lower()
    name = options.name or re.sub(r"[^a-z0-9._-]+", "-", made).strip("-.")
    if not NAME.fullmatch(name) or name == AUTO:
        raise JobFailed(f"{name!r} cannot name a variant; use lower-case letters, digits, dots, - and _")
    return name


class _Draft:
    """A hidden folder beside the variants. `publish` gives the folder its final name; `close` deletes an unpublished
    folder."""

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=".draft-", dir=place))
        self.folder.chmod(0o755)

    def publish(self, folder: Path) -> None:
        _refuse_existing(folder)
        self.folder.rename(folder)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _located(settings: Settings, name: str) -> Path:
    try:
        return locate(name, settings.root)
    except NoSuchResource as error:
        raise JobFailed(str(error)) from error


def _refuse_existing(folder: Path) -> None:
    if folder.exists():
        raise JobFailed(f"a variant {folder.name!r} exists already; remove it, or choose another --name")


def _workshop(run: JobRun, options: CompressOptions, plan: Plan, source: Source, digest: str) -> Workshop:
    original = source.path
    if source.file is None:
        original = run.folder / "source.gguf"
        source = _as_gguf(source, original, run.check)
    inputs = (digest, options.text, options.evaluate, options.windows, options.evaluated, options.window_tokens)
    windows = run.step("windows", inputs, lambda: read_windows(options, run.settings, original, run.check), TextWindows)
    return Workshop(run, options, plan, source, digest, original, windows)


def _as_gguf(source: Source, file: Path, check: Callable[[], None]) -> Source:
    """Write the model of a folder as a float16 GGUF file.

    Checks that llama.cpp can read the file and tokenizes text as the folder's tokenizer does.
    """
    network = load_network(source)
    pairs = proven_pairs(source.path, source.pairs, file.parent, check)
    half = file.with_suffix(".half")
    write_model(Compressed(source, network), half, pairs)
    half.replace(file)
    return Source(source.path, source.family, source.config, pairs, None, source.factors)


def _before(shop: Workshop) -> Perplexities:
    evaluate = shop.windows.evaluate

    def measured() -> Perplexities:
        # llama.cpp reads the model first: if it refuses, the job fails before any work is done
        in_llamacpp = losses_of(shop.original, evaluate, shop.check, threads=shop.options.threads)
        in_torch = mean_losses(load_network(shop.source), evaluate, shop.check)
        return Perplexities(perplexity(in_torch), perplexity(in_llamacpp))

    return shop.run.step("before", (shop.digest, digest_of_windows(evaluate)), measured, Perplexities)


def _after(shop: Workshop, model: Compressed, file: Path) -> Perplexities:
    evaluate, threads = shop.windows.evaluate, shop.options.threads
    inputs = (shop.digest, shop.options, digest_of_windows(evaluate))

    def measured() -> Perplexities:
        in_llamacpp = losses_of(file, evaluate, shop.check, threads=threads)
        cached = losses_of(file, evaluate, shop.check, threads=threads, cache="q8_0") if shop.plan.int8_cache else []
        with rounded_inputs(model.network, model.rounded_inputs):
            in_torch = mean_losses(model.network, evaluate, shop.check)
        return Perplexities(perplexity(in_torch), perplexity(in_llamacpp), perplexity(cached) if cached else 0.0)

    return shop.run.step("after", inputs, measured, Perplexities)


def _speeds(shop: Workshop, file: Path) -> Speeds:
    return speeds_of(file, shop.check, cache=_cache(shop.plan), threads=shop.options.threads)


def _cache(plan: Plan) -> str:
    return "q8_0" if plan.int8_cache else "f16"


@torch.no_grad()
def _changed(shop: Workshop, model: Compressed) -> bool:
    """Return whether a weight or the model's size differs from the source.

    Also returns True for a plan that changes only the cache.
    """
    if shop.plan.int8_cache and len(shop.plan.schemes) == 1:
        return True
    if shop.plan.cuts is not None and model.bytes < Compressed(shop.source, load_network(shop.source)).bytes:
        return True
    if shop.source.file is not None and shop.plan.grid is not None:
        types = {spec.name: spec.type for spec, _ in model.specs()}
        if any(types[name] != tensor.type for name, tensor in shop.source.file.tensors.items()):
            return True
    parameters = dict(model.network.named_parameters())
    return any(
        not torch.equal(parameters[name], values) for name, values in shop.source.weights() if name in parameters
    )


def _manifest(
    shop: Workshop,
    model: Compressed,
    name: str,
    folder: Path,
    before: Perplexities,
    after: Perplexities,
    speeds: Speeds,
) -> VariantManifest:
    options, plan = shop.options, shop.plan
    settings = {field: getattr(options, field) for field in SETTINGS}
    return VariantManifest(
        name=name,
        source=options.source,
        source_sha256=shop.digest,
        model_sha256=digest_of(folder / MODEL),
        family=shop.source.family.architecture,
        scheme=plan.schemes,
        settings=settings,
        tensors=model.tensor_types(),
        before=before,
        after=after,
        rise=rise_of(before, after),
        limit=options.limit,
        bytes=(folder / MODEL).stat().st_size,
        bytes_f16=bytes_in_half(shop.source),
        calibration=digest_of_windows(shop.windows.calibrate),
        evaluation=digest_of_windows(shop.windows.evaluate),
        cache=_cache(plan),
        zeros=zeros_of(model.network.get_parameter(matrix) for matrix in linear_names(model.network)),
        speeds=speeds,
        notes=tuple(notes_of(plan)),
        versions=_versions(),
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _versions() -> dict[str, str]:
    held: dict[str, str] = {}
    for package in VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            held[package] = importlib.metadata.version(package)
    return held


def _clear(folder: Path) -> None:
    """Delete the files that are needed only to resume the job."""
    for file in [file for pattern in LEFT_OVER for file in folder.glob(pattern)]:
        file.unlink()


JOB: Any = JobKind("makes a smaller or faster variant of a local model", CompressOptions, run, estimate)
