"""Removes the least influential MLP channels, groups of heads and layers (structured pruning).

Structured pruning makes a model smaller and faster in every engine, but zeros in single weights do not. Layers of
different widths need llama.cpp's architecture `deci`, which supports only the Llama family. In other families, all
layers are cut to the same width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from gateway.backends.local.gguf.tensors import Pair, number
from offline_jobs.compress.gguf.families import Family, head_width_of, with_widths
from offline_jobs.compress.methods.layers import Check, InputStatistics, Texts
from offline_jobs.errors import JobFailed

MULTIPLE = 32
"""The size of a GGUF block. Widths stay multiples of this size."""
NARROWEST = 64


@dataclass(frozen=True)
class Cuts:
    """How much to remove: a share of the MLP channels, a share of the heads, and a number of layers."""

    channels: float = 0.25
    heads: float = 0.0
    layers: int = 0
    uneven: bool = True


@dataclass(frozen=True)
class Influence:
    """The influence of each layer, of its MLP channels [channels], and of its groups of heads [groups]."""

    channels: list[Tensor]
    heads: list[Tensor]
    layers: list[float]


@dataclass(frozen=True)
class NewShape:
    """The sizes of each layer after a cut: the MLP's width, the number of heads, and the number of heads of keys and
    values."""

    widths: list[int]
    heads: list[int]
    kv_heads: list[int]

    @property
    def even(self) -> bool:
        return all(len(set(each)) == 1 for each in (self.widths, self.heads, self.kv_heads))


def cut(network: Any, windows: Sequence[Sequence[int]], cuts: Cuts, family: Family, check: Check) -> NewShape:
    """Cut a model in place. Raises `JobFailed` if the cut would remove nothing or everything."""
    measured = measure(network, windows, check)
    layers = list(network.model.layers)
    if not 0 <= cuts.layers < len(layers):
        raise JobFailed(f"{cuts.layers} of {len(layers)} layers cannot be cut")
    uneven = cuts.uneven and family.architecture == "llama"
    widths = _widths(measured.channels, cuts.channels, uneven=uneven)
    for layer, channels, heads, width in zip(layers, measured.channels, measured.heads, widths, strict=True):
        _cut_channels(layer.mlp, channels.topk(width).indices.sort().values)
        _cut_heads(layer.self_attn, _best_heads(heads, cuts.heads))
    gone = sorted(range(len(layers)), key=lambda place: measured.layers[place])[: cuts.layers]
    network.model.layers = nn.ModuleList(layer for place, layer in enumerate(layers) if place not in gone)
    for place, layer in enumerate(network.model.layers):
        layer.self_attn.layer_idx = place
    network.config.num_hidden_layers = len(network.model.layers)
    return _shape(network)


@torch.inference_mode()
def measure(network: Any, windows: Sequence[Sequence[int]], check: Check) -> Influence:
    """Measure the influence of channels, heads and layers.

    The influence of a channel or head is the mean square of its output, times the squared weights that read the output.
    The influence of a layer is 1 minus the cosine between the layer's input and output (block influence, Men et al.,
    2024).
    """
    texts, channels, heads, layers = Texts(network, windows), [], [], []
    for layer in network.model.layers:
        seen = texts.statistics(check)
        channels.append(_columns(seen, "mlp.down_proj", layer.mlp.down_proj.weight))
        groups = layer.self_attn.k_proj.weight.shape[0] // layer.self_attn.head_dim
        heads.append(_columns(seen, "self_attn.o_proj", layer.self_attn.o_proj.weight).reshape(groups, -1).sum(1))
        before = list(texts.states)
        texts.advance(check)
        near = [functional.cosine_similarity(a, b).mean() for a, b in zip(before, texts.states, strict=True)]
        layers.append(1 - float(torch.stack(near).mean()))
    return Influence(channels, heads, layers)


def _columns(seen: Mapping[str, InputStatistics], name: str, weight: Tensor) -> Tensor:
    return seen[name].mean_squares * weight.square().sum(0)


def _widths(channels: list[Tensor], share: float, *, uneven: bool) -> list[int]:
    """Return how many channels each layer keeps. Each number is a multiple of 32.

    If `uneven`, the weakest channels of the whole model are removed. To compare channels of different layers, a
    channel's influence is divided by the sum over its layer.
    """
    width = len(channels[0])
    if not 0 <= share < 1:
        raise JobFailed(f"cannot cut a share of {share} of the channels; give a number from 0 to below 1")
    if not uneven:
        return [_multiple(width * (1 - share), width)] * len(channels)
    relative = torch.cat([each / each.sum() for each in channels])
    count = int(len(relative) * share)
    limit = relative.sort().values[count] if count else relative.min()
    kept = [int((part >= limit).sum()) for part in relative.view(len(channels), width)]
    return [_multiple(each, width) for each in kept]


def _multiple(kept: float, width: int) -> int:
    return min(width, max(min(NARROWEST, width), round(kept / MULTIPLE) * MULTIPLE))


def _best_heads(influence: Tensor, share: float) -> Tensor:
    """Return the groups of heads to keep. All heads in a group share keys and values."""
    count = max(1, len(influence) - round(len(influence) * share))
    return influence.topk(count).indices.sort().values


@torch.no_grad()
def _cut_channels(mlp: Any, kept: Tensor) -> None:
    for name in ("gate_proj", "up_proj"):
        _keep_rows(getattr(mlp, name), kept)
    _keep_columns(mlp.down_proj, kept)


@torch.no_grad()
def _cut_heads(attention: Any, groups: Tensor) -> None:
    width, shared = attention.head_dim, attention.num_key_value_groups
    rows = torch.arange(width)
    of_groups = (groups[:, None] * width + rows).flatten()
    of_heads = (groups[:, None] * shared * width + torch.arange(shared * width)).flatten()
    for name in ("k_proj", "v_proj"):
        _keep_rows(getattr(attention, name), of_groups)
    _keep_rows(attention.q_proj, of_heads)
    _keep_columns(attention.o_proj, of_heads)


def _keep_rows(linear: nn.Linear, rows: Tensor) -> None:
    linear.weight = nn.Parameter(linear.weight[rows].clone(), requires_grad=False)
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias[rows].clone(), requires_grad=False)
    linear.out_features = len(rows)


def _keep_columns(linear: nn.Linear, columns: Tensor) -> None:
    linear.weight = nn.Parameter(linear.weight[:, columns].clone(), requires_grad=False)
    linear.in_features = len(columns)


def _shape(network: Any) -> NewShape:
    width = head_width_of(network.config)
    layers = network.model.layers
    return NewShape(
        [layer.mlp.down_proj.weight.shape[1] for layer in layers],
        [layer.self_attn.q_proj.weight.shape[0] // width for layer in layers],
        [layer.self_attn.k_proj.weight.shape[0] // width for layer in layers],
    )


def described_shape(pairs: Mapping[str, Pair], architecture: str, shape: NewShape, head_width: int) -> dict[str, Pair]:
    """Return the GGUF metadata of a model after a cut."""
    changed = dict(pairs)
    changed[f"{architecture}.block_count"] = number(len(shape.widths))
    changed[f"{architecture}.attention.key_length"] = number(head_width)
    changed[f"{architecture}.attention.value_length"] = number(head_width)
    if not shape.even:
        return with_widths(changed, shape.widths, shape.heads, shape.kv_heads)
    changed[f"{architecture}.feed_forward_length"] = number(shape.widths[0])
    changed[f"{architecture}.attention.head_count"] = number(shape.heads[0])
    changed[f"{architecture}.attention.head_count_kv"] = number(shape.kv_heads[0])
    return changed
