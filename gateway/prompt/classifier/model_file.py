"""Saves and loads a trained classifier as `model.npz` (plain arrays, no pickles) and `model.json`.

The JSON file holds the format and the checksum of the arrays. Incomplete, altered and older files are refused, with the
reason in the error.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from gateway.errors import ForewordError
from gateway.prompt.classifier.instruction import InstructionModel
from gateway.prompt.classifier.model import Array, ClassifierModel, Names, Tier
from gateway.prompt.classifier.rawness import RawnessModel

FORMAT = 8


class ModelUnusable(ForewordError):
    """A stored classifier is damaged or of another version. It must be trained again."""


class _Instructions(Struct, frozen=True):
    weights: dict[str, float]
    spaced: bool


class _Header(Struct, frozen=True):
    format: int
    trained_on: str
    checksum: str
    tiers: dict[str, dict[str, Names]]
    report: dict[str, float]
    fixed: tuple[str, ...]
    instructions: dict[str, _Instructions]


class _ModelFormat(Struct):
    format: int


def save(model: ClassifierModel, folder: Path) -> None:
    """Write `model.npz`, then `model.json`. After an interrupted write there is no model, since the JSON file is
    missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"looks.{key}": value for key, value in model.rawness.arrays.items()}
    for language, tiers in model.tiers.items():
        for kind, tier in tiers.items():
            arrays |= {f"{language}.{kind}.{key}": value for key, value in tier.arrays.items()}
    draft = folder / f"model.npz.{os.getpid()}.tmp"
    with draft.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy's stub confuses the names with an option
    header = _Header(
        format=FORMAT,
        trained_on=model.trained_on,
        checksum=_checksum(draft),
        tiers={language: {kind: tier.names for kind, tier in tiers.items()} for language, tiers in model.tiers.items()},
        report=model.report,
        fixed=model.fixed,
        instructions={code: _Instructions(dict(m.weights), m.spaced) for code, m in model.instructions.items()},
    )
    draft.replace(folder / "model.npz")
    draft.write_bytes(msgspec.json.encode(header))
    draft.replace(folder / "model.json")


def load(folder: Path) -> ClassifierModel:
    """Read a saved model. Raises `ModelUnusable` if a file is damaged or of another version."""
    try:
        header = _header(folder)
        if _checksum(folder / "model.npz") != header.checksum:
            raise ModelUnusable(f"{folder}/model.npz does not match its checksum; delete the folder to train again")
        with np.load(folder / "model.npz", allow_pickle=False) as file:
            arrays: dict[str, Array] = dict(file)
        tiers = {
            language: {kind: Tier(names, _part(arrays, f"{language}.{kind}.")) for kind, names in kinds.items()}
            for language, kinds in header.tiers.items()
        }
        rawness = RawnessModel(_part(arrays, "looks."))
    except (OSError, msgspec.MsgspecError, ValueError, KeyError) as error:
        raise ModelUnusable(f"{folder} cannot be read ({error}); delete it to train again") from error
    return ClassifierModel(
        header.trained_on,
        tiers,
        rawness,
        {code: InstructionModel(stored.weights, spaced=stored.spaced) for code, stored in header.instructions.items()},
        header.report,
        header.fixed,
        header.checksum,
    )


def _header(folder: Path) -> _Header:
    raw = (folder / "model.json").read_bytes()
    version = msgspec.json.decode(raw, type=_ModelFormat).format
    if version != FORMAT:
        raise ModelUnusable(f"{folder}: format {version}, this version reads {FORMAT}; delete it to train again")
    return msgspec.json.decode(raw, type=_Header)


def _part(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
