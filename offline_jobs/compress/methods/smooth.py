"""Moves outliers from activations into weights, which have finer scales (SmoothQuant, Xiao et al., 2022).

Each input channel is divided by a factor, and the channel's weights are multiplied by the same factor, so the model
computes the same function. The preceding module (a norm, `up_proj` or `v_proj`) includes the division in its own
weights, so inference costs no more than before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from offline_jobs.compress.measuring.perplexity import round_input
from offline_jobs.compress.methods.grids import Grid, quantize
from offline_jobs.compress.methods.layers import Check, InputStatistics, LayerFiles, Texts

ALPHAS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.75)
SAMPLE = 256
"""The number of tokens on which each value of alpha is tried."""
INT8 = Grid(8, 0, searched=False)
SMALLEST = 1e-5


@dataclass(frozen=True)
class Fold:
    """Linear layers that read the same input, and the module before these layers. The division is folded into that
    module."""

    before: str
    after: tuple[str, ...]


def folds_of(layer: nn.Module) -> list[Fold]:
    """Return the folds inside a decoder layer."""
    feed = "pre_feedforward_layernorm" if hasattr(layer, "pre_feedforward_layernorm") else "post_attention_layernorm"
    return [
        Fold("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
        Fold("self_attn.v_proj", ("self_attn.o_proj",)),
        Fold(feed, ("mlp.gate_proj", "mlp.up_proj")),
        Fold("mlp.up_proj", ("mlp.down_proj",)),
    ]


def smooth(
    network: Any, windows: list[list[int]], check: Check, files: LayerFiles, *, raised: bool
) -> Iterator[dict[str, float]]:
    """Smooth every layer in place. The alpha with the least error after rounding to int8 is chosen.

    Yields the chosen alphas of each layer, by the name of the module into which the division is folded. An alpha of -1
    means that smoothing did not reduce the error. Yields an empty mapping for a layer that an earlier run finished.
    `raised` says whether norms multiply by weight + 1.
    """
    texts = Texts(network, windows)
    for number, layer in enumerate(network.model.layers):
        chosen: dict[str, float] = {}
        if not files.restore(number, layer):
            seen = texts.statistics(check, sample=SAMPLE)
            chosen = {fold.before: _fold(layer, fold, seen, raised=raised) for fold in folds_of(layer)}
            files.keep(number, layer)
        texts.advance(check)
        yield chosen


@torch.no_grad()
def _fold(layer: Any, fold: Fold, seen: Mapping[str, InputStatistics], *, raised: bool) -> float:
    statistics = seen[fold.after[0]]
    matrices = [layer.get_submodule(name).weight for name in fold.after]
    shared = channels_of(layer, fold, statistics.highest.numel())
    best, alpha, least = torch.ones_like(statistics.highest), -1.0, _loss(matrices, statistics.sample, None)
    for candidate in ALPHAS:
        factors = _factors(matrices, statistics.highest, candidate, shared)
        loss = _loss(matrices, statistics.sample, factors)
        if loss < least:
            best, alpha, least = factors, candidate, loss
    if alpha >= 0:
        apply_factors(layer, fold, best, shared, raised=raised)
    return alpha


def channels_of(layer: Any, fold: Fold, columns: int) -> Tensor:
    """Return, for each input channel, the row of the previous module that computes the channel.

    If several heads share a value, their channels have the same row.
    """
    if fold.before != "self_attn.v_proj":
        return torch.arange(columns)
    width = layer.self_attn.head_dim
    rows = torch.arange(layer.self_attn.v_proj.weight.shape[0]).view(-1, width)
    return rows.repeat_interleave(columns // rows.numel(), 0).flatten()


def _factors(matrices: list[Tensor], highest: Tensor, alpha: float, shared: Tensor) -> Tensor:
    """Return the factors s_j = max|X_j|^alpha / max|W_j|^(1 - alpha), equation 4 of the paper.

    Channels that the same row computes get the same factor.
    """
    weights = torch.stack([matrix.abs().amax(0) for matrix in matrices]).amax(0)
    rows = int(shared.max()) + 1
    x = torch.zeros(rows).scatter_reduce_(0, shared, highest, "amax").clamp(min=SMALLEST)
    w = torch.zeros(rows).scatter_reduce_(0, shared, weights, "amax").clamp(min=SMALLEST)
    factors = x**alpha / w ** (1 - alpha)
    # large or small factors could leave the range of float16, so the factors are scaled to a geometric mean of 1; a
    # common scale does not change the result
    return (factors / factors.log().mean().exp()).clamp(1e-3, 1e3)[shared]


def _loss(matrices: list[Tensor], sample: Tensor, factors: Tensor | None) -> float:
    """Return the squared error of the outputs after activations and weights are rounded to int8."""
    divided = sample if factors is None else sample / factors
    rounded = round_input(divided)
    total = 0.0
    for matrix in matrices:
        moved = matrix if factors is None else matrix * factors
        out = rounded @ quantize(moved, INT8).values.T
        total += float((out - sample @ matrix.T).square().sum())
    return total


def apply_factors(layer: Any, fold: Fold, factors: Tensor, shared: Tensor, *, raised: bool) -> None:
    for name in fold.after:
        layer.get_submodule(name).weight.mul_(factors)
    before = layer.get_submodule(fold.before)
    rows = torch.ones(int(shared.max()) + 1).scatter_(0, shared, factors)
    if not isinstance(before, nn.Linear):
        before.weight.copy_((before.weight + 1) / rows - 1 if raised else before.weight / rows)
        return
    before.weight.div_(rows[:, None])
    if before.bias is not None:
        before.bias.div_(rows)
