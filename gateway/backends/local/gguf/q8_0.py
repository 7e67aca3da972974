"""Converts a GGUF model to Q8_0, in seconds and without torch or measurements.

`stored.py` starts this as `python -m gateway.backends.local.gguf.q8_0 SOURCE TARGET`, a process of its own, so that the
gateway's memory stays small.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.backends.local.gguf import blocks
from gateway.backends.local.gguf.blocks import Q8_0, Coded, Floats
from gateway.backends.local.gguf.metadata import NotAModel
from gateway.backends.local.gguf.tensors import (
    GgufFile,
    GgufTensor,
    TensorSpec,
    bytes_of,
    number,
    read_gguf,
    write_gguf,
)
from gateway.disk.atomic_file import locked

FILE_TYPE = 7
HIGHEST = 127
MB = 1 << 20
PATIENCE_S = 600.0
"""How long a process waits for another one that writes the same file."""
NUMBERS = 1 << 22
"""How many numbers are rounded at a time. They take some 70 MB."""


def write_q8_0(source: Path, target: Path) -> None:
    """Write `target` completely or not at all. A complete file that is already there is kept.

    Raises `NotAModel` if the source is damaged, `OSError` if the file cannot be written, and `TimeoutError` if another
    process has been writing it for too long.
    """
    with locked(target, PATIENCE_S):
        if not is_whole(target):
            _write(read_gguf(source), target)


def is_whole(file: Path) -> bool:
    """Return whether the file exists and none of its tensors is cut off."""
    try:
        read_gguf(file)
    except (FileNotFoundError, NotAModel):
        return False
    return True


def _write(file: GgufFile, target: Path) -> None:
    specs = [_spec(tensor) for tensor in file.tensors.values()]
    needed, free = sum(spec.bytes for spec in specs), shutil.disk_usage(target.parent).free
    if free < needed:
        raise OSError(f"the disk has {free // MB:,} MB free, and the file needs {needed // MB:,} MB")
    half = target.with_suffix(".half")
    try:
        write_gguf(half, {**file.pairs, "general.file_type": number(FILE_TYPE)}, specs, _data(file))
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
        yield tensor.data if _stays(tensor) else _rounded(tensor)


def _rounded(tensor: GgufTensor) -> NDArray[np.uint8]:
    """Return the matrix in Q8_0, rounded some rows at a time."""
    rows, columns = tensor.shape
    lines = tensor.data.reshape(rows, -1)
    packed = np.empty((rows, bytes_of(Q8_0, (columns,))), np.uint8)
    step = max(1, NUMBERS // columns)
    for start in range(0, rows, step):
        part = lines[start : start + step]
        values = blocks.read_values(tensor.type, part.reshape(-1), (len(part), columns))
        packed[start : start + step] = blocks.packed(rounded_to_q8_0(values))
    return packed


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    try:
        write_q8_0(source, target)
    except ModuleNotFoundError as error:
        raise SystemExit(
            f'a type in {source.name} needs the package {error.name}: pip install "foreword[torch]"'
        ) from error
    except (NotAModel, OSError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
