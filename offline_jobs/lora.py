"""Low-rank adapters on attention projections (LoRA, Hu et al. 2021, arXiv 2106.09685). All other weights are frozen."""

import math
from typing import Any

import torch
from torch import Tensor, nn

TARGETS = ("q_proj", "v_proj", "o_proj")


class Lora(nn.Module):
    """A linear layer with an adapter: y = W x + (alpha / r) B A x. B starts at 0."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(rank, base.in_features) / math.sqrt(base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = 2.0

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., in] -> [..., out]"""
        plain: Tensor = self.base(x)
        return plain + self.scale * (x @ self.a.T @ self.b.T)

    def merged(self) -> nn.Linear:
        """Return the base layer with the adapter added to its weights."""
        with torch.no_grad():
            self.base.weight += self.scale * (self.b @ self.a)
        return self.base


def adapted(network: Any, rank: int) -> list[Lora]:
    """Put an adapter on each target layer and freeze all other weights. Returns the adapters."""
    network.requires_grad_(False)
    adapters = []
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if name in TARGETS and isinstance(child, nn.Linear):
                adapters.append(Lora(child, rank))
                setattr(module, name, adapters[-1])
    return adapters


def merge(network: Any) -> None:
    """Add each adapter to its layer's weights, and remove the adapter."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Lora):
                setattr(module, name, child.merged())
