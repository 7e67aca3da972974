"""Prunes single weights by magnitude, by Wanda (Sun et al., 2023) or by SparseGPT (Frantar and Alistarh, 2023).

`share` is the share of weights that become zero. With the pattern 2:4, two of every four columns become zero.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from offline_jobs.compress.gguf.families import LINEARS
from offline_jobs.compress.methods.layers import Check, InputStatistics, LayerFiles, Texts

Method = Literal["magnitude", "wanda", "sparsegpt"]
COLUMNS = 128
"""The number of columns in a block. SparseGPT chooses a mask and propagates errors once per block."""
DAMPING = 0.01
PATTERN, REMOVED = 4, 2


@dataclass(frozen=True)
class Sparsity:
    """The weights to remove: a share of all weights, or two of every four weights (2:4)."""

    share: float = 0.5
    two_of_four: bool = False

    @property
    def removed(self) -> float:
        return REMOVED / PATTERN if self.two_of_four else self.share


def read_sparsity(word: str) -> Sparsity:
    """Parse a sparsity such as `0.5`, `50%` or `2:4`. Raises `ValueError` for any other text."""
    if word.strip() == "2:4":
        return Sparsity(two_of_four=True)
    share = float(word.rstrip("%")) / (100 if word.endswith("%") else 1)
    if not 0 < share < 1:
        raise ValueError(f"{word!r} is not a sparsity; give a number between 0 and 1, or 2:4")
    return Sparsity(share)


def prune(
    network: Any, windows: list[list[int]], method: Method, sparsity: Sparsity, check: Check, files: LayerFiles
) -> Iterator[tuple[int, float]]:
    """Prune a model in place, layer by layer. The inputs of a layer come from the pruned layers before it.

    Yields the number of each finished layer and the share of zeros in the layer.
    """
    texts = Texts(network, windows) if method != "magnitude" else None
    for number, layer in enumerate(network.model.layers):
        check()
        if not files.restore(number, layer):
            seen = texts.statistics(check, products=method == "sparsegpt") if texts else {}
            for name in LINEARS:
                prune_matrix(layer.get_submodule(name).weight, seen.get(name), method, sparsity)
            files.keep(number, layer)
        if texts:
            texts.advance(check)
        yield number, zeros_of([layer.get_submodule(name).weight for name in LINEARS])


def zeros_of(matrices: Iterable[Tensor]) -> float:
    """Return the share of zeros among the weights of all matrices."""
    zeros = total = 0
    for matrix in matrices:
        zeros, total = zeros + int((matrix == 0).sum()), total + matrix.numel()
    return zeros / max(total, 1)


@torch.no_grad()
def prune_matrix(weight: Tensor, seen: InputStatistics | None, method: Method, sparsity: Sparsity) -> None:
    """Prune one matrix [rows, columns] in place."""
    if method == "sparsegpt":
        assert seen is not None and seen.products is not None
        weight.copy_(sparsegpt(weight, seen.products, sparsity))
        return
    scores = weight.abs()
    if method == "wanda":
        assert seen is not None
        scores = scores * seen.squares.sqrt()
    weight[lowest(scores, sparsity, by_row=method == "wanda")] = 0


def lowest(scores: Tensor, sparsity: Sparsity, *, by_row: bool) -> Tensor:
    """Return a mask of the weights with the lowest scores.

    Weights are compared within a row, within the whole matrix, or within every four columns (2:4).
    """
    if sparsity.two_of_four:
        fours = scores.reshape(scores.shape[0], -1, PATTERN)
        places = fours.topk(REMOVED, 2, largest=False).indices
        return torch.zeros_like(fours, dtype=torch.bool).scatter_(2, places, True).reshape(scores.shape)
    ranked = scores if by_row else scores.reshape(1, -1)
    count = round(ranked.shape[1] * sparsity.share)
    places = ranked.topk(count, 1, largest=False).indices
    return torch.zeros_like(ranked, dtype=torch.bool).scatter_(1, places, True).reshape(scores.shape)


def sparsegpt(weight: Tensor, products: Tensor, sparsity: Sparsity) -> Tensor:
    """Return the pruned matrix (algorithm 1 of the paper).

    When a column is pruned, the columns to the right are adjusted to compensate for the error. `products` is the sum of
    x x^T over the inputs, [columns, columns].
    """
    w, hessian = weight.clone(), products.clone()
    dead = hessian.diagonal() == 0
    hessian[dead, dead] = 1
    w[:, dead] = 0
    hessian.diagonal().add_(DAMPING * hessian.diagonal().mean())
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)
    for start in range(0, w.shape[1], COLUMNS):
        end = min(start + COLUMNS, w.shape[1])
        errors = _prune_block(w[:, start:end], inverse[start:end, start:end], sparsity)
        w[:, end:] -= errors @ inverse[start:end, end:]
    return w


def _prune_block(block: Tensor, inverse: Tensor, sparsity: Sparsity) -> Tensor:
    """Prune a block of columns in place. Returns the errors that the columns to the right must compensate, [rows,
    columns]."""
    diagonal = inverse.diagonal()
    mask = torch.zeros_like(block, dtype=torch.bool)
    if not sparsity.two_of_four:
        mask = lowest((block / diagonal).square(), sparsity, by_row=False)
    errors = torch.empty_like(block)
    for column in range(block.shape[1]):
        if sparsity.two_of_four and column % PATTERN == 0:
            four = slice(column, column + PATTERN)
            mask[:, four] = lowest((block[:, four] / diagonal[four]).square(), sparsity, by_row=True)
        pruned = torch.where(mask[:, column], 0.0, block[:, column])
        errors[:, column] = (block[:, column] - pruned) / diagonal[column]
        block[:, column] = pruned
        # a rank-one update compensates in the columns to the right, within the block
        block[:, column + 1 :].addr_(errors[:, column], inverse[column, column + 1 :], alpha=-1)
    return errors
