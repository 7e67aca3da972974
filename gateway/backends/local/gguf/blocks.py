"""Packs integer codes and scales into the blocks of GGUF's types, and unpacks them.

A block holds 32 numbers of one row. A code `q` stands for the number `scale * q`. In Q4_1, a code stands for `scale * q
+ least`, and in IQ4_NL for `scale * CODEBOOK[q]`. Files hold scales as float16. The scales are rounded to float16
before the codes are made, so writing the file loses no precision.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32, F16, Q4_0, Q4_1, Q8_0, IQ4_NL, BF16 = 0, 1, 2, 3, 8, 20, 30
CODED = (Q8_0, Q4_0, Q4_1, IQ4_NL)
NAMES = {F32: "F32", F16: "F16", Q4_0: "Q4_0", Q4_1: "Q4_1", Q8_0: "Q8_0", IQ4_NL: "IQ4_NL", BF16: "BF16"}
BLOCK = 32
HALF = BLOCK // 2
CODEBOOK = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8)

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Coded:
    """A matrix as codes. `codes` is int8 [rows, columns]; `scales` and `least` are float16 [rows, blocks].

    Codes are -127..127 in Q8_0, -8..7 in Q4_0, and 0..15 in Q4_1 and IQ4_NL. Only Q4_1 has `least`.
    """

    type: int
    codes: NDArray[np.int8]
    scales: NDArray[np.float16]
    least: NDArray[np.float16] | None = None


def values(coded: Coded) -> Floats:
    """Return the dequantized numbers, as float32 [rows, columns]."""
    codes = CODEBOOK[coded.codes] if coded.type == IQ4_NL else coded.codes
    blocks = _blocks(codes).astype(np.float32) * coded.scales.astype(np.float32)[..., None]
    if coded.least is not None:
        blocks += coded.least.astype(np.float32)[..., None]
    return blocks.reshape(coded.codes.shape)


def packed(coded: Coded) -> Bytes:
    """Return the blocks as bytes, uint8 [rows, bytes per row]."""
    parts = [_raw(coded.scales)]
    if coded.least is not None:
        parts.append(_raw(coded.least))
    codes = _blocks(coded.codes)
    parts.append(codes.view(np.uint8) if coded.type == Q8_0 else _nibbles(codes, coded.type))
    rows: Bytes = np.concatenate(parts, axis=2).reshape(len(codes), -1)
    return rows


def unpacked(type: int, data: Bytes, shape: tuple[int, ...]) -> Coded:
    """Unpack a matrix of `shape`. `type` must be one of `CODED`."""
    blocks = data.reshape(shape[0], shape[1] // BLOCK, -1)
    scales, rest = _half_floats(blocks), blocks[:, :, 2:]
    if type == Q8_0:
        return Coded(type, np.ascontiguousarray(rest).view(np.int8).reshape(shape), scales)
    least = None
    if type == Q4_1:
        least, rest = _half_floats(rest), rest[:, :, 2:]
    codes = np.concatenate([rest & 15, rest >> 4], axis=2).astype(np.int8).reshape(shape)
    return Coded(type, codes - np.int8(8) if type == Q4_0 else codes, scales, least)


def read_values(type: int, data: Bytes, shape: tuple[int, ...]) -> Floats:
    """Read a tensor of any type as float32."""
    if type == F32:
        return data.view(np.float32).reshape(shape)
    if type == F16:
        return data.view(np.float16).reshape(shape).astype(np.float32)
    if type == BF16:
        return (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if type in CODED and len(shape) == 2:
        return values(unpacked(type, data, shape))
    from gguf import GGMLQuantizationType, quants  # needed only for types that this module does not write

    decoded: Floats = quants.dequantize(data, GGMLQuantizationType(type)).reshape(shape)
    return decoded


def plain(type: int, numbers: Floats) -> NDArray[Any]:
    """Convert numbers to F32, F16 or BF16. BF16 numbers are rounded half to even."""
    if type == F32:
        return np.ascontiguousarray(numbers, np.float32)
    if type == F16:
        return numbers.astype(np.float16)
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _blocks(codes: NDArray[np.int8]) -> NDArray[np.int8]:
    return np.ascontiguousarray(codes).reshape(codes.shape[0], -1, BLOCK)


def _raw(scales: NDArray[np.float16]) -> Bytes:
    return np.ascontiguousarray(scales)[..., None].view(np.uint8)


def _half_floats(blocks: Bytes) -> NDArray[np.float16]:
    return np.ascontiguousarray(blocks[:, :, :2]).view(np.float16)[..., 0]


def _nibbles(codes: NDArray[np.int8], type: int) -> Bytes:
    """Pack two codes into each byte. The first half of a block's codes goes to the low bits, the second half to the
    high bits."""
    raised = (codes + np.int8(8) if type == Q4_0 else codes).astype(np.uint8)
    pairs: Bytes = (raised[:, :, :HALF] | (raised[:, :, HALF:] << 4)).astype(np.uint8)
    return pairs
