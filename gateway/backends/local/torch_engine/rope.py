"""Rotary positions beyond the trained window, as pure functions of a model's inverse frequencies.

The letters are those of the papers: `theta` [d/2] are the inverse frequencies, L (`trained`) is the trained window, s
(`factor`) is the length as a multiple of L, and m is a position.
"""

import math

import torch
from torch import Tensor


def linear(theta: Tensor, factor: float) -> Tensor:
    """Position interpolation (Chen et al. 2023): m -> m/s. The model needs training for this method, since neighbouring
    positions become similar.
    """
    return theta / factor


def ntk(theta: Tensor, alpha: float) -> Tensor:
    """NTK-aware scaling: the base grows by alpha^(d/(d-2)). theta: [d/2] -> the same

    The slowest pair is stretched by alpha. The fastest pair is not stretched.
    """
    half = len(theta)
    return theta * alpha ** (-torch.arange(half, dtype=theta.dtype) / (half - 1))


def yarn(theta: Tensor, factor: float, trained: int, fast: float = 32.0, slow: float = 1.0) -> tuple[Tensor, float]:
    """YaRN (Peng et al. 2023). -> theta [d/2], and the factor 0.1 ln s + 1 for cos and sin

    Pairs with many turns within L stay as they are. Pairs with less than one turn are interpolated. A ramp joins the
    two.
    """
    pairs = torch.arange(len(theta), dtype=theta.dtype)
    steepness = float((theta[0].log() - theta[-1].log()) / (len(theta) - 1))

    def pair_that_turns(often: float) -> float:
        return math.log(trained * float(theta[0]) / (2 * math.pi * often)) / steepness

    first = max(0, math.floor(pair_that_turns(fast)))
    last = min(2 * len(theta) - 1, math.ceil(pair_that_turns(slow)))
    ramp = ((pairs - first) / max(last - first, 1e-3)).clamp(0, 1)
    return theta * (1 - ramp) + theta / factor * ramp, 0.1 * math.log(factor) + 1 if factor > 1 else 1.0


def llama3(theta: Tensor, factor: float, trained: int, low: float = 1.0, high: float = 4.0) -> Tensor:
    """Llama 3.1's scaling. theta: [d/2] -> the same

    Frequencies with wavelengths under L/high stay as they are. Those over L/low are divided by s. In between, the
    transition is smooth.
    """
    turns = trained * theta / (2 * math.pi)
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    return theta * smooth + theta / factor * (1 - smooth)


def longrope(theta: Tensor, divisors: Tensor, length: int, trained: int) -> tuple[Tensor, float]:
    """LongRoPE (Ding et al. 2024). -> theta / divisors [d/2], and the factor sqrt(1 + ln s / ln L) for cos and sin"""
    stretch = length / trained
    return theta / divisors, math.sqrt(1 + math.log(stretch) / math.log(trained)) if stretch > 1 else 1.0


def cos_sin(theta: Tensor, scale: float, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of all angles. theta: [d/2], positions: [...] -> two of [..., d]"""
    angles = positions[..., None].float() * theta
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos() * scale, angles.sin() * scale


def rotate(x: Tensor, theta: Tensor, positions: Tensor) -> Tensor:
    """Rotate x to its positions. x: [..., n, d], positions: [n] -> [..., n, d]"""
    cos, sin = cos_sin(theta, 1.0, positions)
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat((-second, first), dim=-1) * sin.to(x.dtype)


def self_extend(q: Tensor, k: Tensor, theta: Tensor, at: Tensor, keys: Tensor, window: int, group: int) -> Tensor:
    """Attention scores of Self-Extend. Distances under `window` are exact, larger ones are rounded to steps of `group`.

    q [..., n, d] and k [..., t, d] are not rotated; their positions are `at` [n] and `keys` [t]. -> [..., n, t], with
    -inf where a key comes after its query
    """
    near = rotate(q, theta, at) @ rotate(k, theta, keys).transpose(-1, -2)
    far_at = at // group + window - window // group
    far = rotate(q, theta, far_at) @ rotate(k, theta, keys // group).transpose(-1, -2)
    distance = at[:, None] - keys[None, :]
    scores = torch.where(distance < window, near, far)
    return scores.masked_fill(distance < 0, -math.inf)
