"""Stores keys and values as int8, with a scale for each token and head.

A row of bytes holds a token's codes and its scale (float16, as two bytes). Such rows can be copied, cut and indexed
like rows of numbers.
"""

import torch
from torch import Tensor

SCALE_BYTES = 2
HIGHEST = 127
SMALLEST = 6e-8
"""The smallest positive float16."""


def pack(values: Tensor) -> Tensor:
    """Round values [..., width] to int8: [..., width + 2]."""
    scales = (values.float().abs().amax(-1, keepdim=True) / HIGHEST).clamp(min=SMALLEST).half()
    codes = (values.float() / scales.float()).round().clamp(-HIGHEST, HIGHEST).to(torch.int8)
    return torch.cat((codes, scales.view(torch.int8)), -1)


def unpack(packed: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert packed rows [..., width + 2] back to values: [..., width]."""
    scales = packed[..., -SCALE_BYTES:].contiguous().view(torch.float16)
    return packed[..., :-SCALE_BYTES].to(dtype) * scales.to(dtype)
