"""Chooses the next token from logits, with pure functions and a `Sampler` that holds the state."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from gateway.wire.engine.pieces import SamplingKnobs


def nucleus(logits: Tensor, share: float) -> Tensor:
    """Set all tokens outside the nucleus to -inf. The nucleus is the smallest set of most likely tokens whose
    probabilities add up to at least `share`.

    logits: [vocab] -> the same
    """
    ordered, places = logits.softmax(-1).sort(descending=True)
    outside = ordered.cumsum(-1) - ordered >= share
    outside[..., 0] = False
    return logits.masked_fill(torch.zeros_like(outside).scatter(-1, places, outside), -torch.inf)


def penalised(logits: Tensor, drawn: Counter[int], frequency: float, presence: float) -> Tensor:
    """Lower the logits of tokens that were drawn before, by count * frequency + presence (OpenAI's formula).

    logits: [vocab] -> the same
    """
    if not drawn or not (frequency or presence):
        return logits
    ids = torch.tensor(list(drawn))
    counts = torch.tensor(list(drawn.values()), dtype=logits.dtype)
    return logits.index_add(-1, ids, -(counts * frequency + presence))


def narrowed(logits: Tensor, knobs: SamplingKnobs) -> Tensor:
    """Apply temperature, then top_k, min_p and top_p. logits: [vocab] -> the same"""
    logits = logits / max(knobs.temperature, 1e-4)
    if 0 < knobs.top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < logits.topk(knobs.top_k).values[..., -1:], -torch.inf)
    if knobs.min_p > 0:
        chances = logits.softmax(-1)
        logits = logits.masked_fill(chances < knobs.min_p * chances.max(), -torch.inf)
    return nucleus(logits, knobs.top_p) if knobs.top_p < 1 else logits


class Sampler:
    """Draws the tokens of one choice. Each choice of a request has a different `number`, so that the choices differ."""

    def __init__(self, knobs: SamplingKnobs, number: int) -> None:
        self._knobs = knobs
        self._drawn: Counter[int] = Counter()
        self._dice = torch.Generator()
        if knobs.seed is None:
            self._dice.seed()
        else:
            self._dice.manual_seed(knobs.seed + number)
        self._bias: Any = None
        if knobs.logit_bias:
            self._bias = torch.tensor(list(knobs.logit_bias)), torch.tensor(list(knobs.logit_bias.values()))

    def logprobs(self, logits: Tensor) -> Tensor:
        """Return the log probabilities after bias and penalties. These are also sent to the client."""
        if self._bias is not None:
            known = (self._bias[0] >= 0) & (self._bias[0] < len(logits))
            logits = logits.index_add(-1, self._bias[0][known], self._bias[1][known])
        logits = penalised(logits, self._drawn, self._knobs.frequency_penalty, self._knobs.presence_penalty)
        return logits.log_softmax(-1)

    def pick(self, logprobs: Tensor) -> int:
        if self._knobs.temperature == 0:
            token = int(logprobs.argmax())
        else:
            chances = narrowed(logprobs, self._knobs).softmax(-1)
            token = int(torch.multinomial(chances, 1, generator=self._dice))
        self._drawn[token] += 1
        return token
