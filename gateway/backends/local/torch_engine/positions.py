"""Chooses the positions for a whole request. A request that fits the trained window gets the model's own positions, and
a longer one a stretched variant.
"""

import math
from typing import Literal, cast, get_args

from msgspec import Struct

Method = Literal["native", "linear", "ntk", "dynamic", "yarn", "llama3", "llama3-wide", "longrope", "self-extend"]
LongContext = Literal[
    "auto", "off", "linear", "ntk", "dynamic", "yarn", "llama3", "llama3-wide", "longrope", "self-extend"
]
SMALL = 2.0
WIDE = 2.0
"""A margin by which `llama3-wide` enlarges the factor, since a model may read the first half of its window better than
the second half.
"""
STRETCH_OF_NTK = 1.5
"""The value of `alpha` for NTK scaling, divided by the factor. Published values of `alpha` are larger than the factor,
for example 3 for twice the length.
"""


class Variant(Struct, frozen=True):
    """A way to encode positions. The cache of prefixes separates the variants, since values that were computed for one
    variant are wrong for another.
    """

    method: Method = "native"
    factor: float = 1.0
    """The length as a multiple of the trained window. For `self-extend`, how many positions are merged into one."""


NATIVE = Variant()


class Positions(Struct, frozen=True):
    """The lengths and methods that a model supports."""

    trained_tokens: int
    window_tokens: int
    """The longest request that is accepted, in tokens."""
    method: LongContext = "auto"
    best: tuple[tuple[float, str], ...] = ()
    """The best method for each factor, as measured by the probe. The smallest factor comes first."""
    has_longrope: bool = False
    near_tokens: int = 1024
    """Self-Extend uses exact positions within this distance."""
    set_for_tokens: int = 0
    """The length for which positions were chosen, before the tokens were counted. Shorter requests get the same
    positions.
    """

    def variant(self, length: int) -> Variant:
        """Return the variant for a request of up to `length` tokens, prompt and answer together."""
        length = max(length, self.set_for_tokens)
        if length <= self.trained_tokens or self.method == "off":
            return NATIVE
        factor = _step(length / self.trained_tokens)
        method = self._automatic(factor) if self.method == "auto" else self.method
        return self.of(method, length, factor)

    def of(self, method: Method, length: int, factor: float) -> Variant:
        """Return the variant of a method for `length` tokens."""
        if method == "native":
            return NATIVE
        if method == "dynamic":
            return Variant("ntk", max(1.0, 2 * length / self.trained_tokens - 1))
        if method == "llama3-wide":
            return Variant("llama3", WIDE * factor)
        if method == "ntk":
            return Variant("ntk", factor * STRETCH_OF_NTK)
        if method == "self-extend":
            room = max(1.0, 0.6 * self.trained_tokens - self.near_tokens)
            return Variant(method, float(max(1, math.ceil((length - self.near_tokens) / room))))
        return Variant(method, factor)

    def _automatic(self, factor: float) -> Method:
        if self.has_longrope:
            return "longrope"
        for known, method in self.best:
            if known >= factor:
                return cast(Method, method) if method in get_args(Method) else "yarn"
        return "yarn" if factor <= SMALL else "llama3"


def _step(stretch: float) -> float:
    """Round up to a power of two, at least 2. Fewer variants let more requests share a cache."""
    return float(2 ** max(1, math.ceil(math.log2(stretch))))
