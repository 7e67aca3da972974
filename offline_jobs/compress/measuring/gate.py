"""Decides whether a variant may be published."""

import math

from gateway.backends.local.variants import Perplexities
from offline_jobs.errors import JobFailed

AGREE = 0.01
"""The maximum difference between the perplexities in llama.cpp and in torch, as a share of torch's perplexity."""


def perplexity(losses: list[float]) -> float:
    return math.exp(sum(losses) / len(losses))


def rise_of(before: Perplexities, after: Perplexities) -> float:
    """Return the largest relative rise among the perplexities in torch and in llama.cpp.

    The perplexity with the int8 cache is included if it was measured.
    """
    rises = [after.torch / before.torch, after.llamacpp / before.llamacpp]
    if after.llamacpp_int8_cache:
        rises.append(after.llamacpp_int8_cache / before.llamacpp)
    return max(rises) - 1


def pass_gate(before: Perplexities, after: Perplexities, limit: float, *, changed: bool) -> None:
    """Raise `JobFailed` if the variant must not be published.

    A variant fails if its perplexity rises above the limit, if llama.cpp and torch disagree about its perplexity, or if
    the scheme changed nothing.
    """
    if not changed:
        raise JobFailed(
            "the scheme changed nothing: the variant has the source's weights and size; choose another scheme"
        )
    if not all(math.isfinite(value) for value in (after.torch, after.llamacpp)):
        raise JobFailed("the perplexity of the compressed model is not finite; nothing is published")
    apart = abs(after.llamacpp / after.torch - 1)
    if apart > AGREE:
        raise JobFailed(
            f"llama.cpp measures a perplexity of {after.llamacpp:.3f}, and torch {after.torch:.3f}: "
            f"{apart:.1%} apart, more than {AGREE:.0%}; nothing is published"
        )
    rise = rise_of(before, after)
    if rise > limit:
        raise JobFailed(
            f"perplexity rises by {rise:.1%}, from {before.torch:.3f} to {after.torch:.3f}; the limit is {limit:.1%}. "
            f"Nothing is published; --allow {math.ceil(rise * 100)} would allow it"
        )
