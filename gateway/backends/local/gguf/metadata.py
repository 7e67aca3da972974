"""Reads the metadata of a GGUF model file without loading the model or a library.

The layout is that of llama.cpp: a magic number, counts, typed key/value pairs, and the tensors.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

MAGIC = b"GGUF"
CONTROL = 3  # the token type of `<|im_start|>` and the like
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_LONGEST = 1 << 28


class NotAModel(ValueError):
    """The file is not a GGUF model, or a part of the file is missing."""


class ModelFile(Struct, frozen=True):
    """The metadata of a model."""

    architecture: str = ""
    window_tokens: int = 0
    """The longest context that the model was trained for, or 0 if the file does not say."""
    chat_template: str = ""
    control_tokens: tuple[str, ...] = ()
    """Control tokens as text, such as `<|im_end|>`."""
    bos: str = ""
    eos: str = ""


def is_model(path: Path) -> bool:
    """Whether the file starts like a GGUF model. Reads four bytes."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def read(path: Path) -> ModelFile:
    """Read a model's metadata. A large vocabulary takes about 100 ms. Raises `NotAModel`."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise NotAModel(f"{path} is not a GGUF model")
        try:
            return _described(_pairs(file))
        except (struct.error, KeyError, UnicodeDecodeError, MemoryError) as error:
            raise NotAModel(f"{path} is damaged or cut short: {error!r}") from error


def _described(pairs: dict[str, Any]) -> ModelFile:
    architecture = str(pairs.get("general.architecture", ""))
    tokens = pairs.get("tokenizer.ggml.tokens", [])
    kinds = pairs.get("tokenizer.ggml.token_type", [])
    return ModelFile(
        architecture=architecture,
        window_tokens=int(pairs.get(f"{architecture}.context_length", 0)),
        chat_template=str(pairs.get("tokenizer.chat_template", "")),
        control_tokens=tuple(
            token.decode("utf-8", "replace") for token, kind in zip(tokens, kinds, strict=False) if kind == CONTROL
        ),
        bos=_token(tokens, pairs.get("tokenizer.ggml.bos_token_id", -1)),
        eos=_token(tokens, pairs.get("tokenizer.ggml.eos_token_id", -1)),
    )


def _token(tokens: list[bytes], number: int) -> str:
    return tokens[number].decode("utf-8", "replace") if 0 <= number < len(tokens) else ""


def _pairs(file: BinaryIO) -> dict[str, Any]:
    _version, _tensors, count = _take(file, "IQQ")
    pairs: dict[str, Any] = {}
    for _ in range(count):
        key = _text(file).decode("utf-8")
        pairs[key] = _value(file, *_take(file, "I"))
    return pairs


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _TEXT:
        return _text(file).decode("utf-8", "replace")
    if kind != _ARRAY:
        return _take(file, _SCALARS[kind])[0]
    of, count = _take(file, "IQ")
    if of == _TEXT:
        return [_text(file) for _ in range(count)]
    if of == _ARRAY:
        return [_value(file, _ARRAY) for _ in range(count)]
    return list(_take(file, f"{count}{_SCALARS[of]}"))


def _text(file: BinaryIO) -> bytes:
    (length,) = _take(file, "Q")
    if length > _LONGEST:
        raise NotAModel(f"a text of {length} bytes")
    data = file.read(length)
    if len(data) < length:
        raise struct.error("the file ends inside a text")
    return data


def _take(file: BinaryIO, form: str) -> tuple[Any, ...]:
    layout = struct.Struct("<" + form)
    if layout.size > _LONGEST:
        raise NotAModel(f"a list of {layout.size} bytes")
    return layout.unpack(file.read(layout.size))
