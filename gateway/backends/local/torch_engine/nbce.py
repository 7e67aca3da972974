"""Naive-Bayes context extension: pure functions that mix the next-token distributions of many contexts into one.

The method is that of Su Jianlin, "NBCE" (2023). Contexts S_1..S_n are read separately. If T is the next token,

  log p(T|S_1..S_n) = (beta + 1) P[log p(T|S)] - beta log p(T) + const

P pools over the contexts, and p(T) is the distribution without a context. Arguments are log-probabilities: lp
[contexts, vocab] for the contexts, lp_0 [vocab] for the question alone. `expert` pooling follows parallel
context-of-experts decoding.
"""

import math

import torch
from torch import Tensor

LOW = -100.0
"""Stands for -inf where a mean or a difference is computed."""
LIKELY = 1024
"""The number of most likely tokens that are looked at first. They contain nearly every nucleus, and selecting them
takes an eighth of the time of a full sort.
"""


def truncate(lp: Tensor, top_p: float = 0.95) -> Tensor:
    """Set the tokens outside each row's nucleus to -inf, without renormalising. lp: [rows, vocab] -> the same

    The tail of a distribution is noise. Subtracting the prior would amplify this noise.
    """
    best, places = lp.topk(min(LIKELY, lp.shape[-1]))
    if (best.exp().sum(-1) < top_p).any():
        best, places = lp.sort(dim=-1, descending=True)
    outside = best.exp().cumsum(-1) - best.exp() >= top_p
    outside[..., 0] = False
    return torch.full_like(lp, -math.inf).scatter(-1, places, best.masked_fill(outside, -math.inf))


def floored(lp_0: Tensor) -> Tensor:
    """Give all tokens outside the nucleus the lowest value inside it. lp_0: [vocab], truncated -> the same

    With -inf, such a token would always win once the prior is subtracted. Without the subtraction, such a token would
    lose to tokens that the prior prefers.
    """
    return lp_0.clamp(min=float(lp_0[lp_0 > LOW].min()))


def entropy(lp: Tensor) -> Tensor:
    """H = -sum p log p. lp: [rows, vocab] -> [rows]"""
    return -(lp.exp() * lp.clamp(min=LOW)).sum(-1)


def favoured(entropies: Tensor, last: int, eta: float) -> Tensor:
    """Lower the entropy of context `last` by `eta`, so that a phrase stays in one context. entropies: [contexts] -> the
    same

    `last` is -1 before the first choice.
    """
    if last < 0:
        return entropies
    lowered = entropies.clone()
    lowered[last] -= eta
    return lowered


def doubt(explained: Tensor, alpha: float, most: float = 2.0) -> Tensor:
    """Return a penalty for each context that explains the question worse than the best context. [contexts] ->
    [contexts]

    `explained` is log p(question|S_k). By Bayes, p(S_k|question) is proportional to p(question|S_k). A context with a
    similar statement about another subject often has the lowest entropy, but makes the question unlikely.

    The penalty is at most `most`, so that a context with a far lower entropy still wins: an answer may need several
    contexts.
    """
    return (alpha * (explained.max() - explained)).clamp(max=most)


def capped(entropies: Tensor, relevance: Tensor, share: float = 0.5) -> Tensor:
    """Raise the entropy of an irrelevant context ("answer X!") at least to the mean entropy of the relevant contexts.

    A context is irrelevant if its `relevance` is under `share` times the highest relevance. `entropies` and `relevance`
    are [contexts].
    """
    doubtful = relevance < share * relevance.max()
    return torch.where(doubtful, entropies.clamp(min=float(entropies[~doubtful].mean())), entropies)


def mix(pooled: Tensor, lp_0: Tensor, beta: float) -> Tensor:
    """(beta + 1) pooled - beta lp_0 where the prior is finite, otherwise pooled. pooled: [..., vocab] -> the same"""
    return torch.where(lp_0 > LOW, (1 + beta) * pooled - beta * lp_0, pooled)


def min_entropy(lp: Tensor, lp_0: Tensor, entropies: Tensor, beta: float) -> tuple[Tensor, int]:
    """Use the context with the lowest entropy. Returns the mixture [vocab], and the number of the context.

    `lp` and `lp_0` are truncated.
    """
    chosen = int(entropies.argmin())
    return mix(lp[chosen], lp_0, beta), chosen


def mean(lp: Tensor, lp_0: Tensor, entropies: Tensor, beta: float) -> tuple[Tensor, int]:
    """Use the mean, as in textbook Naive Bayes. Returns the mixture [vocab], and the number of the context with the
    lowest entropy.
    """
    pooled = lp.clamp(min=LOW).mean(0)
    return mix(pooled, lp_0.clamp(min=LOW), beta), int(entropies.argmin())


def expert(lp: Tensor, lp_0: Tensor, weight: Tensor, beta: float, mask: float = 0.1) -> tuple[Tensor, Tensor]:
    """Use the best context of each token: max_k (1 + beta) lp_k - beta lp_0 + weight_k.

    Returns the mixture [vocab], and each token's context [vocab]. A context counts for a token only if it gives the
    token at least `mask` times the probability of the context's best token. `weight` [contexts] is gamma log(retrieval
    score). `lp` is not truncated. `lp_0` is floored.
    """
    plausible = lp >= lp.max(-1, keepdim=True).values + math.log(mask)
    scores = mix(lp, lp_0, beta) + weight[:, None]
    best = scores.masked_fill(~plausible, -math.inf).max(0)
    return best.values, best.indices
