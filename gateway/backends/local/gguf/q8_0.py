"""Converts a GGUF model to Q8_0, in seconds and without torch or measurements.

llama.cpp reads prompts twice as fast with Q8_0 as with Q4_1, and 8-bit rounding hardly changes a model. The packaged
model is therefore stored as Q8_0.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.backends.local.gguf import blocks
from gateway.backends.local.gguf.blocks import Q8_0, Coded, Floats
from gateway.backends.local.gguf.tensors import GgufFile, GgufTensor, TensorSpec, number, read_gguf, write_gguf

FILE_TYPE = 7
HIGHEST = 127


def store_q8_0(source: Path, target: Path) -> None:
    """Write `target` completely or not at all. Raises `NotAModel` if the source is damaged, `OSError` if the disk is
    full."""
    file = read_gguf(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_suffix(".half")
    try:
        pairs = {**file.pairs, "general.file_type": number(FILE_TYPE)}
        write_gguf(half, pairs, [_spec(tensor) for tensor in file.tensors.values()], _data(file))
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)


def rounded_to_q8_0(values: Floats) -> Coded:
    """Round a matrix [rows, columns].

    Every 32 columns of a row form a block. The largest absolute value in a block sets the scale of the block.
    """
    groups = values.reshape(len(values), -1, blocks.BLOCK)
    scales = (np.abs(groups).max(2) / HIGHEST).astype(np.float16)
    divisors = np.where(scales == 0, 1, scales).astype(np.float32)[..., None]
    codes = np.clip(np.rint(groups / divisors), -HIGHEST, HIGHEST).astype(np.int8)
    return Coded(Q8_0, codes.reshape(values.shape), scales)


def _stays(tensor: GgufTensor) -> bool:
    """Return whether a tensor keeps its type.

    Vectors, Q8_0 tensors, and matrices whose row length is not a multiple of 32 keep their types.
    """
    return len(tensor.shape) != 2 or tensor.shape[1] % blocks.BLOCK != 0 or tensor.type == Q8_0


def _spec(tensor: GgufTensor) -> TensorSpec:
    return TensorSpec(tensor.name, tensor.shape, tensor.type if _stays(tensor) else Q8_0)


def _data(file: GgufFile) -> Iterator[NDArray[np.uint8]]:
    for tensor in file.tensors.values():
        if _stays(tensor):
            yield tensor.data
        else:
            yield blocks.packed(rounded_to_q8_0(blocks.read_values(tensor.type, tensor.data, tensor.shape)))
