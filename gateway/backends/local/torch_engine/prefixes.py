"""Caches the keys and values of passages for later questions, up to a limit in bytes."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor

from gateway.backends.local.torch_engine.positions import Variant


class Prefixes:
    """The most recently used prefixes. Only the engine's thread may use this cache.

    An entry is found by its tokens and by the variant of their positions, since values that were computed for one
    variant are wrong for another.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._cache: OrderedDict[bytes, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cache)

    def get(self, ids: Sequence[int], variant: Variant) -> Tensor | None:
        """Return the cached values [layers, 2, heads, tokens, width], or None."""
        key = _key(ids, variant)
        prefix = self._cache.get(key)
        if prefix is not None:
            self._cache.move_to_end(key)
        return prefix

    def put(self, ids: Sequence[int], variant: Variant, prefix: Tensor) -> None:
        key = _key(ids, variant)
        self._forget(key)
        if prefix.nbytes > self.most_bytes:
            return
        self._cache[key] = prefix
        self.bytes += prefix.nbytes
        while self.bytes > self.most_bytes:
            self._forget(next(iter(self._cache)))

    def _forget(self, key: bytes) -> None:
        gone = self._cache.pop(key, None)
        if gone is not None:
            self.bytes -= gone.nbytes


def _key(ids: Sequence[int], variant: Variant) -> bytes:
    return hashlib.sha256(f"{variant.method} {variant.factor} {list(ids)}".encode()).digest()
