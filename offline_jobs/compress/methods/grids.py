"""Rounds weights [rows, columns] to grids, and searches for good scales.

Files hold scales as float16, so each scale is rounded to float16 before the codes are made. In a search, `weight` is
the importance of each column. A column's importance is the mean square of its inputs, if known.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gateway.backends.local.gguf.blocks import BLOCK, CODEBOOK, IQ4_NL, Q4_0, Q4_1, Q8_0, Coded

GROUPS = (128, 64, 32)
STEPS = 20
"""The number of scales that a search tries.

The scales range from `NARROWEST` to 1.15 times the scale that fits the largest absolute value.
"""
NARROWEST = 0.7
LEAST = 1e-12


@dataclass(frozen=True)
class Grid:
    """The values to which weights are rounded.

    group: the number of columns that share a scale; 0 means that a whole row shares a scale.
    searched: whether to search for the scale with the least squared error. Otherwise, the largest value sets the scale.
    """

    bits: int
    group: int = BLOCK
    symmetric: bool = True
    searched: bool = True
    nonlinear: bool = False

    @property
    def type(self) -> int:
        """The GGUF type of the codes."""
        if self.bits == 8:
            return Q8_0
        if self.nonlinear:
            return IQ4_NL
        return Q4_0 if self.symmetric else Q4_1

    def group_of(self, columns: int) -> int:
        """Return the group size for a matrix with this number of columns.

        The size is `group` if `group` divides `columns`, else a smaller size that does. If `group` is 0, the size is
        `columns`. Returns 0 if `columns` is not a multiple of 32.
        """
        if columns % BLOCK:
            return 0
        if not self.group:
            return columns
        return next(size for size in GROUPS if size <= self.group and columns % size == 0)


@dataclass(frozen=True)
class Quantized:
    """A matrix as codes [rows, columns].

    Scales and least values are float32 [rows, groups], and float16 can hold each of them exactly. Least values are None
    for symmetric grids.
    """

    grid: Grid
    codes: Tensor
    scales: Tensor
    least: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """The dequantized values, float32 [rows, columns]. Every bit equals llama.cpp's result."""
        groups = self.codes.reshape(*self.scales.shape, -1)
        numbers = _codebook()[groups.long()] if self.grid.nonlinear else groups.float()
        spread = numbers * self.scales[..., None]
        if self.least is not None:
            spread = spread + self.least[..., None]
        return spread.reshape(self.codes.shape)

    def map_rows(self, turn: Callable[[Tensor], Tensor]) -> "Quantized":
        """Return a copy of the matrix with reordered rows. `turn` reorders the rows of a tensor."""
        least = None if self.least is None else turn(self.least)
        return Quantized(self.grid, turn(self.codes), turn(self.scales), least)

    @property
    def coded(self) -> Coded:
        """The matrix as the file stores it. GGUF has one scale per 32 columns, so the scale of a larger group is
        repeated."""
        repeat = self.codes.shape[1] // self.scales.shape[1] // BLOCK
        scales = _half(self.scales.repeat_interleave(repeat, 1))
        least = None if self.least is None else _half(self.least.repeat_interleave(repeat, 1))
        return Coded(self.grid.type, self.codes.to(torch.int8).numpy(), scales, least)


def quantize(weights: Tensor, grid: Grid, importance: Tensor | None = None) -> Quantized:
    """Round a matrix to a grid. `importance` is [columns]. The number of columns must be a multiple of 32."""
    group = grid.group_of(weights.shape[1])
    groups = weights.float().reshape(weights.shape[0], -1, group)
    weight = torch.ones(groups.shape[1:]) if importance is None else importance.float().reshape(-1, group)
    scales, least = _scales(groups, grid, weight)
    codes = to_codes(groups, grid, scales, least)
    return Quantized(grid, codes.reshape(weights.shape), scales, least)


def to_codes(groups: Tensor, grid: Grid, scales: Tensor, least: Tensor | None) -> Tensor:
    """Return the nearest codes for values [rows, groups, n], as int8 of the same shape."""
    inverse = torch.where(scales == 0, 0.0, 1.0 / torch.where(scales == 0, 1.0, scales))[..., None]
    numbers = (groups if least is None else groups - least[..., None]) * inverse
    if grid.nonlinear:
        return _nearest(numbers).to(torch.int8)
    low, high = limits(grid)
    return torch.round(numbers).clamp(low, high).to(torch.int8)


def limits(grid: Grid) -> tuple[int, int]:
    """Return the lowest and the highest code of the grid."""
    if grid.bits == 8:
        return -127, 127
    return (-8, 7) if grid.symmetric else (0, 15)


def _scales(groups: Tensor, grid: Grid, weight: Tensor) -> tuple[Tensor, Tensor | None]:
    if not grid.symmetric:
        return _asymmetric(groups, grid, weight)
    most = _signed_most(groups)
    # the longer end of a four-bit grid is -8, so the scale gets the opposite sign of the largest value
    full = {8: most.abs() / 127, 4: most / (-127 if grid.nonlinear else -8)}[grid.bits]
    best, error = _rounded(full), torch.full(full.shape, torch.inf)
    for share in _shares(grid):
        scales = _rounded(full * share)
        off = _error(groups, grid, scales, None, weight)
        better = off < error
        best, error = torch.where(better, scales, best), torch.where(better, off, error)
    return best, None


def _asymmetric(groups: Tensor, grid: Grid, weight: Tensor) -> tuple[Tensor, Tensor]:
    low, high = groups.amin(2), groups.amax(2)
    best = _rounded((high - _rounded(low)) / limits(grid)[1])
    least, error = _rounded(low), torch.full(low.shape, torch.inf)
    for share in _shares(grid):
        middle, half = (low + high) / 2, (high - low) / 2 * share
        lowest = _rounded(middle - half)
        scales = _rounded((middle + half - lowest) / limits(grid)[1])
        off = _error(groups, grid, scales, lowest, weight)
        better = off < error
        best, least = torch.where(better, scales, best), torch.where(better, lowest, least)
        error = torch.where(better, off, error)
    return best, least


def _shares(grid: Grid) -> list[float]:
    if not grid.searched:
        return [1.0]
    # factors above 1 are tried too: they round the largest value down a little, and may fit the other values better
    return [1.0, *np.linspace(NARROWEST, 1.15, STEPS).tolist()]


def _error(groups: Tensor, grid: Grid, scales: Tensor, least: Tensor | None, weight: Tensor) -> Tensor:
    """Return the squared error of each group, weighted by importance, as [rows, groups]."""
    codes = to_codes(groups, grid, scales, least)
    numbers = _codebook()[codes.long()] if grid.nonlinear else codes.float()
    values = numbers * scales[..., None]
    if least is not None:
        values = values + least[..., None]
    return ((values - groups).square() * weight).sum(2)


def _signed_most(groups: Tensor) -> Tensor:
    """Return the value with the largest magnitude in each group, with its sign, as [rows, groups]."""
    place = groups.abs().argmax(2, keepdim=True)
    return groups.gather(2, place)[..., 0]


def _nearest(numbers: Tensor) -> Tensor:
    """Return the index of the nearest codebook entry for each number."""
    book = _codebook()
    return torch.bucketize(numbers.contiguous(), (book[1:] + book[:-1]) / 2)


def _codebook() -> Tensor:
    return torch.from_numpy(CODEBOOK).float()


def _rounded(scales: Tensor) -> Tensor:
    return scales.half().float()


def _half(scales: Tensor) -> NDArray[np.float16]:
    return np.asarray(scales.half().numpy())
