"""Which stored variant `variant = "auto"` takes, and which settings of a variant are mistakes."""

from pathlib import Path
from typing import Any

import pytest

from gateway.backends.local.llamacpp import KIND, LlamaCppSettings
from gateway.backends.local.variants import (
    Perplexities,
    Speeds,
    VariantManifest,
    cheapest_variant,
    stored_variants,
    variants_folder,
    write_manifest,
)
from tests.doubles.gguf import described


def store(data: Path, name: str, *, rise: float = 0.0, source: str = "m.gguf", write: float = 10.0) -> None:
    folder = variants_folder(data) / name
    folder.mkdir(parents=True)
    described(folder / "model.gguf")
    figures, speeds = Perplexities(10.0, 10.0), Speeds(1, 100.0, write, 20.0)
    scheme, digests = ("int8-channel",), ("0" * 64, "1" * 64)
    manifest = VariantManifest(
        name, source, *digests, "llama", scheme, {}, {}, figures, figures, rise, 0.03, 1, 2, speeds=speeds
    )
    write_manifest(folder, manifest)


def test_the_fastest_accepted_variant_of_the_model_is_taken(tmp_path: Path) -> None:
    store(tmp_path, "slow", rise=0.001, write=10)
    store(tmp_path, "fast", rise=0.009, write=20)
    store(tmp_path, "worse", rise=0.02, write=40)
    store(tmp_path, "other", source="n.gguf", write=80)
    assert [cheapest_name(tmp_path, rise) for rise in (0.0, 0.005, 0.01, 0.05)] == ["", "slow", "fast", "worse"]


def cheapest_name(data: Path, most_rise: float) -> str:
    chosen = cheapest_variant(data, "m.gguf", most_rise)
    return chosen.manifest.name if chosen else ""


def test_drafts_and_damaged_variants_are_not_listed(tmp_path: Path) -> None:
    store(tmp_path, "good")
    store(tmp_path, "damaged")
    (variants_folder(tmp_path) / "damaged" / "manifest.json").write_text("{")
    (variants_folder(tmp_path) / ".draft-x").mkdir()
    assert [variant.manifest.name for variant in stored_variants(tmp_path)] == ["good"]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({}, "model"),
        ({"model": "m.gguf", "variant": "small"}, "model"),
        ({"variant": "auto"}, "model"),
        ({"variant": "small", "speculation": "draft"}, "draft"),
        ({"variant": "small", "adapters": ("absent.gguf",)}, "adapters"),
    ],
)
def test_settings_that_contradict_each_other_are_mistakes(tmp_path: Path, fields: dict[str, Any], where: str) -> None:
    described(tmp_path / "m.gguf")
    problems = list(KIND.check(LlamaCppSettings("x", **fields), tmp_path))
    assert [problem.where for problem in problems] == [where]


@pytest.mark.parametrize("fields", [{"model": "m.gguf"}, {"model": "m.gguf", "variant": "auto"}, {"variant": "small"}])
def test_a_model_a_variant_or_both_with_auto_are_fine(tmp_path: Path, fields: dict[str, Any]) -> None:
    described(tmp_path / "m.gguf")
    assert list(KIND.check(LlamaCppSettings("x", **fields), tmp_path)) == []
