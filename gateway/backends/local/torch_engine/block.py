"""Holds the keys and values of one request's rows, and computes attention over them.

Rows of different lengths are padded on the left, so that all end at the same slot. The padding has no effect: a mask
hides it, and each row's positions count from its own first token.
"""

import torch
import torch.nn.functional as functional
from torch import Tensor

from gateway.backends.local.torch_engine import int8, rope
from gateway.backends.local.torch_engine.positions import NATIVE, Variant

NEAR = 1024
"""Self-Extend uses exact positions within this distance."""
MOST_SCORES = 1 << 24
"""The number of attention scores that Self-Extend holds in memory at a time."""


class CacheShape:
    """The shape of a model's caches."""

    def __init__(self, layers: int, heads: int, width: int, dtype: torch.dtype, *, int8: bool = False) -> None:
        """With `int8`, keys and values are stored as int8 and converted to `dtype` for computing."""
        self.layers, self.heads, self.width, self.dtype, self.int8 = layers, heads, width, dtype, int8

    @property
    def row_bytes(self) -> int:
        """Return the number of bytes for the key of one token in one head. The value takes as many bytes."""
        return self.width + int8.SCALE_BYTES if self.int8 else self.width * self.dtype.itemsize

    def bytes_of(self, tokens: int) -> int:
        return 2 * self.layers * self.heads * tokens * self.row_bytes

    def empty(self, rows: int, capacity: int) -> Tensor:
        """Return an empty cache: [layers, 2, rows, heads, capacity, width], or packed bytes with `int8`."""
        width, dtype = (self.row_bytes, torch.int8) if self.int8 else (self.width, self.dtype)
        # not `empty`: masked values are multiplied by zero, and uninitialised memory may hold NaN
        return torch.zeros((self.layers, 2, rows, self.heads, capacity, width), dtype=dtype)


class RowBlock:
    """Rows that advance together. `end` is the first free slot; a row's slots before `begins[row]` are padding."""

    def __init__(self, shape: CacheShape, rows: int, capacity: int, variant: Variant = NATIVE) -> None:
        self.shape = shape
        self.variant = variant
        self.values = shape.empty(rows, capacity)
        self.begins = torch.zeros(rows, dtype=torch.long)
        self.end = 0
        self.gap = 0
        """The number that is added to the positions of the next tokens. The probe uses this number to simulate a
        distance without reading a long text.
        """
        self._places = torch.arange(capacity)

    @property
    def rows(self) -> int:
        return self.values.shape[2]

    @property
    def capacity(self) -> int:
        return self.values.shape[4]

    def positions(self, count: int) -> Tensor:
        """Return the positions of the next tokens: [rows, count]."""
        places = torch.arange(self.end, self.end + count) + self.gap
        self._places[self.end : self.end + count] = places
        return places[None, :] - self.begins[:, None]

    def load(self, row: int, prefix: Tensor) -> None:
        """Copy a prefix into a row, just before `end`. prefix: [layers, 2, heads, tokens, width]"""
        tokens = prefix.shape[3]
        self.values[:, :, row, :, self.end - tokens : self.end] = prefix
        self.begins[row] = self.end - tokens

    def row(self, row: int) -> Tensor:
        """Return a copy of a row for the cache of prefixes: [layers, 2, heads, tokens, width]."""
        return self.values[:, :, row, :, self.begins[row] : self.end].clone()

    def select(self, rows: Tensor) -> None:
        """Keep only these rows, in this order. A row may occur several times."""
        self.values = self.values[:, :, rows]
        self.begins = self.begins[rows]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float, theta: Tensor) -> Tensor:
        """Append k and v, then compute the attention of q to all keys. q: [rows, heads', n, d] -> the same.

        `theta` is used if the variant rotates at attention time.
        """
        new = q.shape[2]
        till = self.end + new
        keys, values = self._extend(layer, k, v, till)
        if self.variant.method == "self-extend":
            return self._extended(q, keys, values, scaling, theta)
        if new == 1:
            return self._attend_one(q, keys, values, scaling)
        group = q.shape[1] // self.shape.heads
        keys, values = keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1)
        if self.end == 0 and not self._filled:
            return functional.scaled_dot_product_attention(q, keys, values, is_causal=True, scale=scaling)
        mask = self._mask(new, till)
        return functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=scaling)

    def _extend(self, layer: int, k: Tensor, v: Tensor, till: int) -> tuple[Tensor, Tensor]:
        """Append k and v, and return all keys and values: [rows, heads, till, d]."""
        packed = self.shape.int8
        self.values[layer, 0, :, :, self.end : till] = int8.pack(k) if packed else k
        self.values[layer, 1, :, :, self.end : till] = int8.pack(v) if packed else v
        keys, values = self.values[layer, 0, :, :, :till], self.values[layer, 1, :, :, :till]
        dtype = self.shape.dtype
        return (int8.unpack(keys, dtype), int8.unpack(values, dtype)) if packed else (keys, values)

    @property
    def _filled(self) -> bool:
        return bool(self.begins.any())

    def _attend_one(self, q: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
        """Compute attention for one new token in each row.

        Heads that share keys are passed as several queries of one head, so that no keys are copied.
        """
        rows, _, _, width = q.shape
        grouped = q.reshape(rows, self.shape.heads, -1, width)
        mask = self._mask(1, keys.shape[2]) if self._filled else None
        out = functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scaling)
        return out.reshape(q.shape)

    def _mask(self, new: int, till: int) -> Tensor:
        """Return the mask [rows or 1, 1, new, till], which is True where a query may attend."""
        slots = torch.arange(till)
        causal = slots[None, :] <= torch.arange(self.end, till)[:, None]
        if not self._filled:
            return causal[None, None]
        own = slots[None, :] >= self.begins[:, None]
        return (causal[None] & own[:, None])[:, None]

    def _extended(self, q: Tensor, keys: Tensor, values: Tensor, scaling: float, theta: Tensor) -> Tensor:
        """Compute Self-Extend attention, one row at a time and a limited number of queries at a time."""
        out = torch.empty_like(q)
        group = q.shape[1] // self.shape.heads
        for row in range(q.shape[0]):
            begin = int(self.begins[row])
            k = keys[row, :, begin:].repeat_interleave(group, 0)
            v = values[row, :, begin:].repeat_interleave(group, 0)
            stand = self._places[begin : self.end + q.shape[2]] - begin
            at = stand[self.end - begin :]
            step = max(1, MOST_SCORES // (q.shape[1] * k.shape[1]))
            for start in range(0, q.shape[2], step):
                part = slice(start, start + step)
                scores = rope.self_extend(q[row, :, part], k, theta, at[part], stand, NEAR, int(self.variant.factor))
                out[row, :, part] = (scores.float() * scaling).softmax(-1).to(v.dtype) @ v
        return out
