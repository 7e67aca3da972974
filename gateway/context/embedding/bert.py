"""The sentence encoder of the BERT family in plain numpy, for models like MiniLM.

torch, transformers and sentence-transformers take seconds and hundreds of megabytes to start, but such a model has only
six layers of matrix products. This module does not pad texts to one length. The tokens of all texts go through the
linear layers as one long matrix, and only the attention is computed for each text separately. Models of other kinds run
in sentence-transformers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Floats = NDArray[np.float32]

TOGETHER = 512  # tokens that go through the layers as one matrix
SCORES_IN_CACHE = 100_000
IN_CACHE = 32  # rows that stay in the processor's cache while an activation passes over them a dozen times


class Layer(Struct, frozen=True):
    """The weights of one block. Each `*_w` is [in, out]."""

    attention_w: Floats  # query, key and value side by side
    attention_b: Floats
    mixed_w: Floats
    mixed_b: Floats
    mixed_norm: tuple[Floats, Floats]
    wide_w: Floats
    wide_b: Floats
    narrow_w: Floats
    narrow_b: Floats
    norm: tuple[Floats, Floats]


class Bert:
    """Computes the states of tokens and the unit vectors of texts. Several threads may use it."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, window_tokens: int) -> None:
        from safetensors.numpy import load_file

        config = json.loads((folder / "config.json").read_text("utf-8"))
        weights = load_file(folder / "model.safetensors")
        prefix = "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""
        weights = {name.removeprefix(prefix): np.asarray(value, np.float32) for name, value in weights.items()}
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config["layer_norm_eps"])
        self._words = weights["embeddings.word_embeddings.weight"]
        self._places = (
            weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = _norm(weights, "embeddings")
        self._layers = [_layer(weights, f"encoder.layer.{n}") for n in range(config["num_hidden_layers"])]
        self._tokenizer = tokenizer
        self._window = window_tokens

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return the mean of each text's states: [texts, dimensions], with rows of length 1."""
        rows = self._rows(texts)
        vectors = np.empty((len(rows), self._words.shape[1]), np.float32)
        for some in _batches([len(row) for row in rows]):
            states, starts = self.states([rows[place] for place in some])
            vectors[some] = np.add.reduceat(states, starts, axis=0)
        # the sum points in the direction of the mean
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def token_states(self, texts: Sequence[str]) -> list[Floats]:
        """Return the states of each text's tokens: [tokens, dimensions], with rows of length 1.

        The first and the last token, which the model adds, are left out.
        """
        rows = self._rows(texts)
        states_of_texts: list[Floats] = [np.empty(0, np.float32)] * len(rows)
        for some in _batches([len(row) for row in rows]):
            states, starts = self.states([rows[place] for place in some])
            states /= np.linalg.norm(states, axis=1, keepdims=True)
            for place, start in zip(some, starts, strict=True):
                states_of_texts[place] = states[start + 1 : start + len(rows[place]) - 1]
        return states_of_texts

    def _rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of the texts, each cut to the window."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        return [row if len(row) <= self._window else [*row[: self._window - 1], row[-1]] for row in rows]

    def mean_states(self, rows: Sequence[Sequence[int]]) -> Floats:
        """Return the mean of the states of each row of token ids: [rows, dimensions]. All rows must have the same
        length.
        """
        states, _ = self.states(rows)
        means: Floats = states.reshape(len(rows), -1, states.shape[1]).mean(axis=1)
        return means

    def states(self, rows: Sequence[Sequence[int]]) -> tuple[Floats, list[int]]:
        """Return the states after the last layer, [all tokens, dimensions], and the index where each row starts.

        Neighbouring rows of the same length are computed together, which is faster.
        """
        lengths = [len(row) for row in rows]
        starts = [0, *np.cumsum(lengths).tolist()[:-1]]
        runs = _runs(lengths, self._heads)
        places = np.concatenate([np.arange(length) for length in lengths])
        x = self._words[np.concatenate(rows)]
        x += self._places[places]
        self._scale(x, self._norm)
        # allocated once for all layers, since allocation takes longer than the computation
        tokens, size = x.shape
        qkv, mixed, y = (np.empty((tokens, width), np.float32) for width in (3 * size, size, size))
        wide = np.empty((tokens, self._layers[0].wide_w.shape[1]), np.float32)
        for layer in self._layers:
            np.matmul(x, layer.attention_w, out=qkv)
            qkv += layer.attention_b
            for start, count, length in runs:
                end = start + count * length
                self._attend(qkv[start:end], count, out=mixed[start:end])
            np.matmul(mixed, layer.mixed_w, out=y)
            y += layer.mixed_b
            x += y
            self._scale(x, layer.mixed_norm)
            np.matmul(x, layer.wide_w, out=wide)
            wide += layer.wide_b
            gelu(wide)
            np.matmul(wide, layer.narrow_w, out=y)
            y += layer.narrow_b
            x += y
            self._scale(x, layer.norm)
        return x, starts

    def _attend(self, qkv: Floats, count: int, out: Floats) -> None:
        """Compute the attention within each of `count` texts of the same length, from `qkv` [tokens, 3 * dimensions]
        into `out` [tokens, dimensions].
        """
        length = len(qkv) // count
        # each [count, heads, length, size]
        q, k, v = qkv.reshape(count, length, 3, self._heads, -1).transpose(2, 0, 3, 1, 4)
        q *= np.float32(1 / sqrt(q.shape[-1]))
        mixed = out.reshape(count, length, self._heads, -1).transpose(0, 2, 1, 3)
        step = max(1, SCORES_IN_CACHE // (count * length**2))
        for first in range(0, self._heads, step):
            some = slice(first, first + step)
            scores = q[:, some] @ k[:, some].swapaxes(-1, -2)
            scores -= scores.max(axis=-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=-1, keepdims=True)
            np.matmul(scores, v[:, some], out=mixed[:, some])

    def _scale(self, x: Floats, norm: tuple[Floats, Floats]) -> None:
        """Apply layer normalisation in place."""
        x -= x.mean(axis=-1, keepdims=True)
        variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[-1])
        x /= np.sqrt(variance + np.float32(self._epsilon))
        x *= norm[0]
        x += norm[1]


def gelu(x: Floats) -> None:
    """Compute x * (1 + erf(x / sqrt 2)) / 2 in place. erf is formula 7.1.26 of Abramowitz and Stegun; its error is at
    most 4e-7.
    """
    size, t, tail = (np.empty((min(IN_CACHE, len(x)), x.shape[1]), np.float32) for _ in range(3))
    for first in range(0, len(x), IN_CACHE):
        rows = x[first : first + IN_CACHE]
        if len(rows) < len(size):
            size, t, tail = (scratch[: len(rows)] for scratch in (size, t, tail))
        np.abs(rows, out=size)
        np.multiply(size, np.float32(0.3275911 / sqrt(2)), out=t)
        t += np.float32(1)
        np.divide(np.float32(1), t, out=t)
        np.multiply(t, np.float32(-0.5 * 1.061405429), out=tail)
        for a in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            tail += np.float32(-0.5 * a)
            tail *= t
        tail *= size
        size *= size
        size *= np.float32(-0.5)
        tail *= np.exp(size, out=size)  # -(1 - erf(size)) * size / 2
        np.maximum(rows, 0, out=rows)
        rows += tail


def fits(folder: Path) -> bool:
    """Whether `Bert` can compute this model. The model must be BERT with exact GELU and mean pooling, and no further
    layer.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        modules = [module["type"].rpartition(".")[2] for module in json.loads((folder / "modules.json").read_text())]
        pooling = json.loads((folder / "1_Pooling" / "config.json").read_text("utf-8"))
    except (OSError, ValueError, KeyError):
        return False
    modes = [name for name, value in pooling.items() if name.startswith("pooling_mode") and value is True]
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and modules in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
        and modes == ["pooling_mode_mean_tokens"]
        and (folder / "model.safetensors").is_file()
    )


def _layer(weights: dict[str, Any], name: str) -> Layer:
    def linear(*parts: str) -> tuple[Floats, Floats]:
        matrices = [weights[f"{name}.{part}.weight"] for part in parts]
        biases = [weights[f"{name}.{part}.bias"] for part in parts]
        return np.ascontiguousarray(np.concatenate(matrices).T), np.concatenate(biases)

    return Layer(
        *linear("attention.self.query", "attention.self.key", "attention.self.value"),
        *linear("attention.output.dense"),
        _norm(weights, f"{name}.attention.output"),
        *linear("intermediate.dense"),
        *linear("output.dense"),
        _norm(weights, f"{name}.output"),
    )


def _norm(weights: dict[str, Any], name: str) -> tuple[Floats, Floats]:
    return weights[f"{name}.LayerNorm.weight"], weights[f"{name}.LayerNorm.bias"]


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Group the indices of `lengths` by similar length, with at most `TOGETHER` tokens in a group."""
    batches: list[list[int]] = []
    total = TOGETHER
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if total + lengths[place] > TOGETHER:
            batches.append([])
            total = 0
        batches[-1].append(place)
        total += lengths[place]
    return batches


def _runs(lengths: Sequence[int], heads: int) -> list[tuple[int, int, int]]:
    """Group neighbouring texts of the same length. The attention scores of a group fit the processor's cache.

    Each group is (index of its first token, number of texts, tokens of each text).
    """
    runs: list[tuple[int, int, int]] = []
    start = 0
    for length, same in groupby(lengths):
        left, most = len(list(same)), max(1, SCORES_IN_CACHE // (heads * length**2))
        while left:
            count = min(left, most)
            runs.append((start, count, length))
            start += count * length
            left -= count
    return runs
