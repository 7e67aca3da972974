"""Trains one layer after the other on the export grid, so that it computes what the full-precision layer computes.

After BRECQ (Li et al., 2021) and the block-wise stage of EfficientQAT (Chen et al., 2024). A layer reads what the
rounded layers before it wrote, so it learns to make up for their errors. Only one layer is trained at a time.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from offline_jobs.compress.methods.fake import FakeQuantized
from offline_jobs.compress.methods.grids import Grid, quantize
from offline_jobs.compress.methods.layers import Check, LayerFiles, Texts

log = logging.getLogger("foreword.jobs")
RATE = 0.04
"""The learning rate of a weight, in steps of its grid."""
OTHERS_RATE = 1e-3
"""The learning rate of scales and norms, relative to their first values."""
SEED = 0


def train_blocks(
    network: Any, windows: Sequence[Sequence[int]], grid: Grid, steps: int, files: LayerFiles, check: Check
) -> list[Tensor]:
    """Train each layer for some steps, one window each. Leaves its weights parametrized by `FakeQuantized`.

    Returns what the last norm of the full-precision model writes, [tokens, width] for each window. A job that goes on
    reads the finished layers from `files`.
    """
    original, norm = Texts(network, windows), network.model.norm
    rounded = Texts(network, windows[: max(1, steps)])
    for number, layer in enumerate(network.model.layers):
        seen = original.measured_advance(check)
        _put_on_grid(layer, grid, {name: each.mean_squares for name, each in seen.items()})
        if steps and not files.restore(number, layer):
            first, last = _train(rounded, original.states, layer, steps, check)
            log.info("layer trained on its grid", extra={"layer": number, "error": first, "error_after": last})
            files.keep(number, layer)
        if steps:
            rounded.advance(check)
    with torch.no_grad():
        return [norm(state) for state in original.states]


def _put_on_grid(layer: Any, grid: Grid, importance: Mapping[str, Tensor]) -> None:
    """Round the weights of a layer's matrices in each forward pass."""
    for name, module in list(layer.named_modules()):
        if isinstance(module, nn.Linear) and grid.group_of(module.weight.shape[1]):
            made = quantize(module.weight, grid, importance.get(name) if grid.bits == 4 else None)
            parametrize.register_parametrization(module, "weight", FakeQuantized(made))


@torch.enable_grad()
def _train(texts: Texts, targets: Sequence[Tensor], layer: nn.Module, steps: int, check: Check) -> tuple[float, float]:
    """Train one layer. Returns its relative error in the first and in the last steps."""
    layer.requires_grad_(True)
    optimiser = torch.optim.Adam(_learning(layer), betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps))
    order = torch.randperm(len(texts.states), generator=torch.Generator().manual_seed(SEED)).tolist()
    errors = []
    for step in range(steps):
        check()
        row = order[step % len(order)]
        error = relative_error(texts.through(texts.states[row]), targets[row])
        optimiser.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        errors.append(error.item())
    layer.requires_grad_(False)
    few = max(1, steps // 8)
    return sum(errors[:few]) / few, sum(errors[-few:]) / few


def _learning(layer: nn.Module) -> list[dict[str, Any]]:
    """Return the parameters, with learning rates that suit their sizes."""
    groups: list[dict[str, Any]] = []
    for name, parameter in layer.named_parameters():
        rate = OTHERS_RATE * parameter.detach().abs().mean().item()
        if name.endswith(".original"):
            held: Any = layer.get_submodule(name.removesuffix(".original"))
            rate = RATE * held[0].unit.abs().mean().item()
        groups.append({"params": [parameter], "lr": rate})
    return groups


def relative_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error beside the squared target, as a mean over tokens. outputs, targets: [tokens, width]

    Without the division the first token would decide: in many models it is a hundred times as large as others. A token
    counts 1 at most: a full stop may become that large or stay small by a hair, and its error would drown the others.
    """
    errors, squares = (outputs - targets).square().sum(1), targets.square().sum(1)
    return (errors / (errors + squares)).mean()
