"""Plots the perplexity of variants against size and against speed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.backends.local.variants import VariantManifest

MB = 1 << 20


def plot_variants(manifests: Sequence[VariantManifest], path: Path) -> bool:
    """Write the plot as a PNG file. Returns False if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _points(left, manifests, [manifest.bytes / MB for manifest in manifests])
    _points(right, manifests, [manifest.speeds.write_1 for manifest in manifests])
    left.set(xlabel="MB", ylabel="rise of perplexity, %")
    right.set(xlabel="tokens written per CPU second, one answer")
    figure.savefig(path, dpi=120)
    return True


def _points(axes: Any, manifests: Sequence[VariantManifest], places: Sequence[float]) -> None:
    for manifest, place in zip(manifests, places, strict=True):
        rise = manifest.rise * 100
        axes.plot(place, rise, "o")
        axes.annotate("+".join(manifest.scheme), (place, rise), fontsize=7)
