"""Rounds weights to a grid in each forward pass, so that a model can be trained on the grid that is exported."""

from typing import Any

import torch
from torch import Tensor, nn

from offline_jobs.compress.methods.grids import Quantized, limits, to_codes


class FakeQuantized(nn.Module):
    """Rounds a weight to its grid in each forward pass. The scales are trained (LSQ, Esser et al., 2020).

    Gradients ignore the rounding (straight-through estimator). Pruned weights, which are zero, get none and stay zero.
    Grids with `Grid.nonlinear` are not supported.
    """

    def __init__(self, made: Quantized) -> None:
        super().__init__()
        self.grid = made.grid
        self.unit = nn.Buffer(made.scales.clone())
        self.scale = nn.Parameter(torch.ones_like(made.scales))
        """The scales divided by `unit`. All quotients start at 1, so that one learning rate suits all of them."""
        self.least = None if made.least is None else nn.Parameter(made.least.clone())

    def forward(self, weight: Tensor) -> Tensor:
        scales, least = self._halves()
        groups = weight.reshape(*scales.shape, -1)
        values: Tensor = _OnGrid.apply(groups, scales, least, limits(self.grid))  # type: ignore[no-untyped-call]
        return values.reshape(weight.shape)

    @torch.no_grad()
    def quantized(self, weight: Tensor) -> Quantized:
        """Quantize the weight with the current scales."""
        scales, least = self._halves()
        codes = to_codes(weight.reshape(*scales.shape, -1), self.grid, scales, least)
        return Quantized(self.grid, codes.reshape(weight.shape), scales, least)

    def _halves(self) -> tuple[Tensor, Tensor | None]:
        return _half(self.unit * self.scale), None if self.least is None else _half(self.least)


class _OnGrid(torch.autograd.Function):
    """Rounds groups [rows, groups, n] to a grid with these scales and least values [rows, groups].

    The gradients are written out, because automatic ones keep many tensors of the size of the weights.
    """

    @staticmethod
    def forward(context: Any, groups: Tensor, scales: Tensor, least: Tensor | None, ends: tuple[int, int]) -> Tensor:
        context.save_for_backward(groups, scales, least)
        context.ends = ends
        values = _numbers(groups, scales, least).round_().clamp_(*ends).mul_(scales[..., None])
        return values if least is None else values.add_(least[..., None])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        groups, scales, least = context.saved_tensors
        (gradient,), (low, high) = gradients, context.ends
        numbers = _numbers(groups, scales, least)
        within = (numbers >= low) & (numbers <= high)
        codes = numbers.round().clamp_(low, high)
        inside = gradient * within
        # a code at an end of the grid moves with its scale; another one is off by what rounding took from the weight
        of_scales = (gradient * codes).sum(2).sub_((inside * numbers).sum(2))
        of_least = None if least is None else (gradient - inside).sum(2)
        return inside.mul_(groups != 0), of_scales, of_least, None


def _numbers(groups: Tensor, scales: Tensor, least: Tensor | None) -> Tensor:
    divisors = torch.where(scales == 0, 1.0, scales)[..., None]
    return groups / divisors if least is None else (groups - least[..., None]).div_(divisors)


def _half(values: Tensor) -> Tensor:
    return values + (values.half().float() - values).detach()
