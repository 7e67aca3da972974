"""Decides whether a variant may be published."""

import math

from gateway.backends.local.variants import Perplexities
from offline_jobs.errors import JobFailed

AGREE = 0.01
"""The largest relative difference that is allowed between the perplexities in llama.cpp and in torch."""


def perplexity(losses: list[float]) -> float:
    return math.exp(sum(losses) / len(losses))


def rise_of(before: Perplexities, after: Perplexities) -> float:
    """Return the largest relative rise of perplexity, out of those in both engines and with the int8 cache if it is
    used."""
    rises = [after.torch / before.torch, after.llamacpp / before.llamacpp]
    if after.llamacpp_int8_cache:
        rises.append(after.llamacpp_int8_cache / before.llamacpp)
    return max(rises) - 1


def pass_gate(before: Perplexities, after: Perplexities, limit: float, *, changed: bool) -> None:
    """Raise `JobFailed` if a variant's perplexity rises too much, if llama.cpp reads the variant differently from
    torch, or if the variant equals its source."""
    if not changed:
        raise JobFailed("the scheme changed nothing: every weight and the size are the source's; choose another scheme")
    if not all(math.isfinite(value) for value in (after.torch, after.llamacpp)):
        raise JobFailed("the compressed model gives no finite perplexity; nothing is published")
    apart = abs(after.llamacpp / after.torch - 1)
    if apart > AGREE:
        raise JobFailed(
            f"llama.cpp's perplexity of {after.llamacpp:.3f} is {apart:.1%} from torch's {after.torch:.3f}, more than "
            f"{AGREE:.0%}; nothing is published"
        )
    rise = rise_of(before, after)
    if rise > limit:
        raise JobFailed(
            f"perplexity rises by {rise:.1%}, from {before.torch:.3f} to {after.torch:.3f}; the limit is {limit:.1%}. "
            f"Nothing is published; --allow {math.ceil(rise * 100)} would allow it"
        )
