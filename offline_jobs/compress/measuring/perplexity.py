"""Measures perplexity in torch, with activations rounded as in llama.cpp.

llama.cpp rounds activations to int8 in groups of 32 before they are multiplied by a quantized matrix.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from gateway.backends.local.gguf.blocks import BLOCK


def round_input(values: Tensor) -> Tensor:
    """Round activations [..., columns] as Q8_0 and Q8_1 do.

    The codes are made with the exact scale. Afterwards, the scale is rounded to float16.
    """
    blocks = values.reshape(*values.shape[:-1], -1, BLOCK)
    scales = blocks.abs().amax(-1, keepdim=True) / 127
    codes = torch.round(blocks / torch.where(scales == 0, 1.0, scales))
    return (codes * scales.half().float()).reshape(values.shape)


@contextmanager
def rounded_inputs(network: Any, names: Sequence[str]) -> Iterator[None]:
    """Round the inputs of the named linear layers inside the `with` block."""

    def before(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (round_input(given[0]), *given[1:])

    modules = dict(network.named_modules())
    hooks = [modules[name].register_forward_pre_hook(before) for name in names]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def mean_losses(network: Any, windows: Sequence[Sequence[int]], check: Callable[[], None]) -> list[float]:
    """Return the mean negative log-likelihood of each window. The first token of a window is not counted.

    `check` is called between windows.
    """
    means = []
    for window in windows:
        check()
        ids = torch.tensor(window)
        logits = network(ids[None], use_cache=False).logits[0]
        means.append(float(functional.cross_entropy(logits[:-1].float(), ids[1:])))
    return means
