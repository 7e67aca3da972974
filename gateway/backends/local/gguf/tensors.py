"""Reads and writes GGUF files. Metadata values are kept as raw bytes, and tensors are views of the mapped file.

Unchanged values are written back byte for byte.
"""

import math
import mmap
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gateway.backends.local.gguf.metadata import MAGIC, NotAModel

VERSION = 3
ALIGNMENT = 32
ALIGNMENT_KEY = "general.alignment"
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
UINT32, FLOAT32, BOOL, TEXT, ARRAY = 4, 6, 7, 8, 9
INT32 = 5
BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    20: (32, 18),  # IQ4_NL
    23: (256, 136),  # IQ4_XS
    30: (1, 2),  # BF16
}
"""For each tensor type, how many numbers and how many bytes a block has."""


@dataclass(frozen=True)
class Pair:
    """A metadata value as raw bytes. `kind` is GGUF's number for the value's type."""

    kind: int
    data: bytes

    @property
    def value(self) -> Any:
        """The decoded value: a number, a text or a list. A text that is not valid UTF-8 is returned as bytes."""
        return _decoded(self.kind, self.data, 0)[0]


@dataclass(frozen=True)
class GgufTensor:
    """A tensor in the file. As in torch, `shape` gives the rows before the columns."""

    name: str
    shape: tuple[int, ...]
    type: int
    data: NDArray[np.uint8]


@dataclass(frozen=True)
class TensorSpec:
    """The name, shape and type of a tensor that will be written."""

    name: str
    shape: tuple[int, ...]
    type: int

    @property
    def bytes(self) -> int:
        return bytes_of(self.type, self.shape)


@dataclass(frozen=True)
class GgufFile:
    """An open GGUF file. The file stays mapped into memory while any of its tensors is in use."""

    path: Path
    pairs: Mapping[str, Pair]
    tensors: Mapping[str, GgufTensor]

    def value(self, key: str, default: Any = None) -> Any:
        pair = self.pairs.get(key)
        return default if pair is None else pair.value


def bytes_of(type: int, shape: Sequence[int]) -> int:
    """Return the size of a tensor in bytes. Raises `NotAModel` if the type is unknown or a row cannot be divided into
    blocks."""
    if type not in BLOCKS:
        raise NotAModel(f"tensors of type {type} cannot be read")
    numbers, size = BLOCKS[type]
    if shape and shape[-1] % numbers:
        raise NotAModel(f"rows of {shape[-1]} numbers do not divide into blocks of {numbers}")
    return math.prod(shape) // numbers * size


def read_gguf(path: Path) -> GgufFile:
    """Read the metadata and map the tensors. Raises `NotAModel` if the file is truncated or is not a GGUF file."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise NotAModel(f"{path} is not a GGUF model")
        try:
            return _read(path, file)
        except (struct.error, UnicodeDecodeError, KeyError, MemoryError, OverflowError, RecursionError) as error:
            raise NotAModel(f"{path} is damaged or truncated: {error!r}") from error


def _read(path: Path, file: BinaryIO) -> GgufFile:
    size = os.fstat(file.fileno()).st_size
    whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    version, tensors, count = struct.unpack_from("<IQQ", whole, 4)
    if version not in (2, VERSION):
        raise NotAModel(f"{path} is GGUF version {version}; versions 2 and 3 can be read")
    at, pairs = 24, {}
    for _ in range(count):
        key, at = _text(whole, at)
        (kind,) = struct.unpack_from("<I", whole, at)
        end = _skip(whole, at + 4, kind)
        pairs[key.decode()] = Pair(kind, whole[at + 4 : end])
        at = end
    specs = []
    for _ in range(tensors):
        spec, offset, at = _spec(whole, at)
        specs.append((spec, offset))
    alignment = pairs[ALIGNMENT_KEY].value if ALIGNMENT_KEY in pairs else ALIGNMENT
    begin = _aligned(at, alignment)
    return GgufFile(
        path, pairs, {spec.name: _mapped(path, whole, spec, begin + offset, size) for spec, offset in specs}
    )


def _spec(whole: mmap.mmap, at: int) -> tuple[TensorSpec, int, int]:
    name, at = _text(whole, at)
    (dimensions,) = struct.unpack_from("<I", whole, at)
    if dimensions > 4:
        raise NotAModel(f"a tensor has {dimensions} dimensions")
    shape = struct.unpack_from(f"<{dimensions}Q", whole, at + 4)
    at += 4 + 8 * dimensions
    type, offset = struct.unpack_from("<IQ", whole, at)
    return TensorSpec(name.decode(), tuple(reversed(shape)), type), offset, at + 12


def _mapped(path: Path, whole: mmap.mmap, spec: TensorSpec, start: int, size: int) -> GgufTensor:
    if start + spec.bytes > size:
        end = start + spec.bytes
        raise NotAModel(f"{path} is truncated: {spec.name} ends at byte {end:,}, and the file has {size:,} bytes")
    data = np.frombuffer(whole, np.uint8, spec.bytes, start)
    return GgufTensor(spec.name, spec.shape, spec.type, data)


def _text(whole: Any, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<Q", whole, at)
    end = at + 8 + length
    if end > len(whole):
        raise struct.error("the file ends inside a text")
    return bytes(whole[at + 8 : end]), end


def _skip(whole: Any, at: int, kind: int) -> int:
    """Return the position just after the value that starts at `at`."""
    if kind == TEXT:
        return _text(whole, at)[1]
    if kind != ARRAY:
        return _within(whole, at + struct.calcsize("<" + SCALARS[kind]))
    of, count = struct.unpack_from("<IQ", whole, at)
    at += 12
    if of not in (TEXT, ARRAY):
        return _within(whole, at + count * struct.calcsize("<" + SCALARS[of]))
    for _ in range(count):
        at = _skip(whole, at, of)
    return at


def _within(whole: Any, end: int) -> int:
    if end > len(whole):
        raise struct.error("the file ends inside a value")
    return end


def _decoded(kind: int, data: bytes, at: int) -> tuple[Any, int]:
    if kind == TEXT:
        text, at = _text(data, at)
        try:
            return text.decode(), at
        except UnicodeDecodeError:
            return text, at
    if kind != ARRAY:
        form = "<" + SCALARS[kind]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    of, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if of not in (TEXT, ARRAY):
        form = f"<{count}{SCALARS[of]}"
        return list(struct.unpack_from(form, data, at)), at + struct.calcsize(form)
    values = []
    for _ in range(count):
        value, at = _decoded(of, data, at)
        values.append(value)
    return values, at


def text(value: str) -> Pair:
    return Pair(TEXT, _encoded_text(value.encode()))


def number(value: int) -> Pair:
    return Pair(UINT32, struct.pack("<I", value))


def real(value: float) -> Pair:
    return Pair(FLOAT32, struct.pack("<f", value))


def flag(value: bool) -> Pair:
    return Pair(BOOL, struct.pack("<?", value))


def texts(values: Sequence[bytes]) -> Pair:
    return Pair(ARRAY, struct.pack("<IQ", TEXT, len(values)) + b"".join(map(_encoded_text, values)))


def numbers(values: Sequence[int]) -> Pair:
    return Pair(ARRAY, struct.pack(f"<IQ{len(values)}i", INT32, len(values), *values))


def reals(values: Sequence[float]) -> Pair:
    return Pair(ARRAY, struct.pack(f"<IQ{len(values)}f", FLOAT32, len(values), *values))


def _encoded_text(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def write_gguf(
    path: Path, pairs: Mapping[str, Pair], specs: Sequence[TensorSpec], data: Iterable[NDArray[Any]]
) -> None:
    """Write tensors one at a time, then wait until the file is on the disk. `data` has the tensors in the order of
    `specs`.

    Raises `ValueError` if a tensor's size differs from the size in its spec, and `OSError` if the disk is full.
    """
    pairs = {key: pair for key, pair in pairs.items() if key != ALIGNMENT_KEY}
    with path.open("wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", VERSION, len(specs), len(pairs)))
        for key, pair in pairs.items():
            file.write(_encoded_text(key.encode()) + struct.pack("<I", pair.kind) + pair.data)
        for line in _spec_lines(specs):
            file.write(line)
        for spec, values in zip(specs, data, strict=True):
            _pad(file)
            raw = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
            if raw.size != spec.bytes:
                raise ValueError(f"{spec.name} has {raw.size} bytes, not {spec.bytes}")
            file.write(raw.data)
        _pad(file)
        file.flush()
        os.fsync(file.fileno())


def _spec_lines(specs: Sequence[TensorSpec]) -> Iterator[bytes]:
    offset = 0
    for spec in specs:
        shape = tuple(reversed(spec.shape))
        yield _encoded_text(spec.name.encode()) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        yield struct.pack("<IQ", spec.type, offset)
        offset = _aligned(offset + spec.bytes, ALIGNMENT)


def _pad(file: BinaryIO) -> None:
    at = file.tell()
    file.write(b"\0" * (_aligned(at, ALIGNMENT) - at))


def _aligned(at: int, alignment: int) -> int:
    return -(-at // alignment) * alignment
