"""Reads variants of local models: folders with `model.gguf` and `manifest.json`, made by `foreword engines compress`.

They are in `engines/variants/<name>` of the data folder. Reading a variant needs neither torch nor llama.cpp.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.settings.tables import Settings

AUTO = "auto"
READ_TOKENS, WRITTEN_TOKENS = 400, 100
"""The numbers of prompt tokens and answer tokens of a typical request."""
MODEL, MANIFEST = "model.gguf", "manifest.json"
TORCH_FOLDER = "safetensors"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


class NoSuchVariant(LookupError):
    """A variant does not exist or cannot be read."""


class VariantInUse(LookupError):
    """A backend in the configuration uses the variant."""


class Perplexities(Struct, frozen=True):
    """Perplexities that were measured on the same tokens. The value for `torch` imitates the rounding of llama.cpp's
    kernels. 0 means that the value was not measured.
    """

    torch: float = 0.0
    llamacpp: float = 0.0
    llamacpp_int8_cache: float = 0.0


class TextDigest(Struct, frozen=True):
    """Identifies the text that was measured: the SHA-256 of its tokens, and their number."""

    sha256: str = ""
    tokens: int = 0


class Speeds(Struct, frozen=True):
    """Tokens per second of CPU time, with `threads` threads. 0 means that the value was not measured."""

    threads: int = 1
    read: float = 0.0
    write_1: float = 0.0
    write_8: float = 0.0


class VariantManifest(Struct, frozen=True):
    """Says how a variant was made, and holds its measurements."""

    name: str
    source: str
    source_sha256: str
    model_sha256: str
    family: str
    scheme: tuple[str, ...]
    settings: dict[str, str | int | float | bool]
    tensors: dict[str, str]
    """Maps each tensor to its type and the number of columns that share a scale, for example `Q8_0/576`."""
    before: Perplexities
    after: Perplexities
    rise: float
    """The relative rise of the perplexity, where 0.01 is 1 %. If the two engines measure different rises, this is the
    larger one.
    """
    limit: float
    """The maximum rise of the perplexity. A variant with a higher rise is not published."""
    bytes: int
    bytes_f16: int
    calibration: TextDigest = TextDigest()
    evaluation: TextDigest = TextDigest()
    cache: str = "f16"
    """The type of the cache of keys and values with which this variant is served: `f16` or `q8_0`."""
    zeros: float = 0.0
    """The share of zeros among the weights of the linear layers."""
    speeds: Speeds = Speeds()
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    made: str = ""
    schema: int = 1


class StoredVariant(Struct, frozen=True):
    """A variant on the disk."""

    folder: Path
    manifest: VariantManifest

    @property
    def model(self) -> Path:
        return self.folder / MODEL


def variants_folder(data: Path) -> Path:
    return data / "engines" / "variants"


def stored_variants(data: Path) -> Iterator[StoredVariant]:
    """Return all readable variants, sorted by name."""
    place = variants_folder(data)
    for folder in sorted(place.iterdir()) if place.is_dir() else ():
        if NAME.fullmatch(folder.name) and (folder / MANIFEST).is_file():
            try:
                yield _read(folder)
            except NoSuchVariant:
                continue


def stored_variant(data: Path, name: str) -> StoredVariant:
    """Read one variant. Raises `NoSuchVariant`."""
    folder = variants_folder(data) / name
    if not NAME.fullmatch(name) or not (folder / MANIFEST).is_file():
        known = ", ".join(variant.manifest.name for variant in stored_variants(data)) or "none"
        raise NoSuchVariant(f"there is no variant {name!r}; there are: {known}")
    return _read(folder)


def _read(folder: Path) -> StoredVariant:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=VariantManifest)
    except (OSError, msgspec.DecodeError) as error:
        raise NoSuchVariant(f"the variant in {folder} cannot be read: {error}") from error
    if not (folder / MODEL).is_file():
        raise NoSuchVariant(f"the variant in {folder} has no {MODEL}; make it again")
    return StoredVariant(folder, manifest)


def cheapest_variant(data: Path, source: str, most_rise: float) -> StoredVariant | None:
    """Return the variant of `source` that takes the least CPU time for an answer.

    Only variants whose perplexity rose by at most `most_rise` are compared. Returns None if there are none.
    """
    accepted = [
        variant
        for variant in stored_variants(data)
        if variant.manifest.source == source and variant.manifest.rise <= most_rise and variant.manifest.speeds.read
    ]
    return min(accepted, key=lambda variant: answer_s(variant.manifest.speeds), default=None)


def answer_s(speeds: Speeds) -> float:
    """Return the seconds of CPU time for a typical answer."""
    return READ_TOKENS / speeds.read + WRITTEN_TOKENS / speeds.write_1


def check_digest(variant: StoredVariant) -> None:
    """Raise `NoSuchVariant` if the model's file has changed since the measurements.

    This reads the whole file, which takes 0.1 s for 140 MB.
    """
    with variant.model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != variant.manifest.model_sha256:
        raise NoSuchVariant(f"{variant.model} was changed after it was measured; make the variant again")


def users_of(settings: Settings, name: str) -> list[str]:
    """Return the backends whose configuration names this variant."""
    return [key for key, table in settings.backends.items() if table.table.get("variant") == name]


def write_manifest(folder: Path, manifest: VariantManifest) -> None:
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def remove_variant(settings: Settings, name: str) -> None:
    """Delete a variant. Raises `NoSuchVariant`, or `VariantInUse` if the configuration names the variant.

    A running engine keeps the variant that it has loaded.
    """
    folder = stored_variant(settings.data_folder, name).folder
    users = users_of(settings, name)
    if users:
        raise VariantInUse(f"{name!r} is used by [backends.{users[0]}]; change its variant first")
    # renamed first, so that no half-deleted variant is ever visible
    gone = folder.with_name(f".removed-{name}")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone)
