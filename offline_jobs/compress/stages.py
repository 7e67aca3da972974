"""Applies the steps of a plan to a model: cut, smooth, prune, fine-tune, round.

A resumed job reads finished parts from files.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from gateway.backends.local.gguf.tensors import Pair
from offline_jobs.compress.gguf.export import Compressed, hold, linear_names, quantize_network, round_to_half
from offline_jobs.compress.methods import structured
from offline_jobs.compress.methods.layers import LayerFiles, importances
from offline_jobs.compress.methods.prune import prune
from offline_jobs.compress.methods.smooth import smooth
from offline_jobs.compress.methods.tune import norms_of, tune, tune_on_grid, tune_sparser
from offline_jobs.compress.schemes import Plan
from offline_jobs.compress.source import Source
from offline_jobs.compress.texts import TextWindows

log = logging.getLogger("foreword.jobs")


@dataclass(frozen=True)
class Bench:
    """What all stages need. `folder` holds the files of finished parts. `check` is called between parts, and raises an
    error if the job must stop."""

    plan: Plan
    windows: TextWindows
    folder: Path
    check: Callable[[], None]


def compressed(source: Source, network: Any, bench: Bench) -> tuple[Compressed, Mapping[str, Pair]]:
    """Apply the steps of the plan to the model. Returns the compressed model and its GGUF metadata."""
    plan, pairs = bench.plan, source.pairs
    if plan.cuts is not None:
        shape = structured.cut(network, bench.windows.calibrate, plan.cuts, source.family, bench.check)
        pairs = structured.described_shape(pairs, source.family.architecture, shape, source.head_width)
    if plan.smooth:
        _smooth(network, source, bench)
    if plan.prune and not plan.gradual:
        _prune(network, bench)
    _tune(network, bench)
    return _rounded(Compressed(source, network), bench), pairs


def _smooth(network: Any, source: Source, bench: Bench) -> None:
    files, raised = LayerFiles(bench.folder, "smooth"), source.family.raised
    for number, alphas in enumerate(smooth(network, bench.windows.calibrate, bench.check, files, raised=raised)):
        log.info("layer smoothed", extra={"layer": number, "alphas": alphas})


def _prune(network: Any, bench: Bench) -> None:
    plan, files = bench.plan, LayerFiles(bench.folder, "prune")
    for number, zeros in prune(network, bench.windows.calibrate, plan.method, plan.sparsity, bench.check, files):
        log.info("layer pruned", extra={"layer": number, "zeros": round(zeros, 4)})


def _tune(network: Any, bench: Bench) -> None:
    """Prune gradually, or train the model. Quantization-aware training runs in `_rounded`."""
    plan, windows = bench.plan, bench.windows
    if not plan.tune and not plan.gradual:
        return
    file = bench.folder / "tune.pt"
    if not plan.gradual:
        tune(network, windows.train, plan.tuning, file, bench.check)
        return
    norms = norms_of(importances(network, windows.calibrate, bench.check), linear_names(network))
    tune_sparser(network, windows.train, plan.tuning, file, bench.check, plan.sparsity, norms)


def _rounded(model: Compressed, bench: Bench) -> Compressed:
    plan = bench.plan
    if plan.grid is None:
        round_to_half(model.network)
        return model
    importance: dict[str, Tensor] = {}
    if plan.qat:
        file = bench.folder / "qat.pt"
        tuning = plan.tuning if plan.together else replace(plan.tuning, steps=0)
        codes = tune_on_grid(model.network, bench.windows.train, plan.grid, tuning, file, bench.check)
        for name, each in codes.items():
            hold(model, name, each)
    elif plan.grid.bits == 4 and plan.grid.searched:
        importance = importances(model.network, bench.windows.calibrate, bench.check)
    left = quantize_network(model, plan.grid, importance)
    if left:
        log.warning("some matrices stay in float16: 32 does not divide their columns", extra={"matrices": left})
    return model
