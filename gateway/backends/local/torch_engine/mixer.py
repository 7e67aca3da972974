"""Mixes the rows of a step into one distribution, and tracks which passages contribute."""

import torch
from torch import Tensor

from gateway.ask import Nbce
from gateway.backends.local.torch_engine import nbce

PATIENCE = 4
FAR = 4.0
"""The margin in nats by which a passage may be behind the best passage. A passage that was always further behind is
dropped, but not before `PATIENCE` tokens.
"""
FEW = 4
"""At least this many passages are kept."""
LEAST = 1e-3
"""The lowest retrieval score whose logarithm is taken. Lower scores are raised to this value."""


class Mixer:
    """Mixes the rows of one answer, and remembers how much each row contributed. Row 0 is the question alone, row k has
    passage k.
    """

    def __init__(self, mixed: Nbce) -> None:
        self.pooling = mixed.pooling or ("expert" if mixed.scores else "min_entropy")
        self._mixed = mixed
        self._last = -1
        self._near: dict[int, float] = {}
        self._steps = 0
        self._speaker: int | Tensor = 0
        self._numbers: list[int] = []
        self._explained: dict[int, float] = {}

    @property
    def asks_for_likelihood(self) -> bool:
        """Whether the mixture needs the likelihood of the question for each passage."""
        return self.pooling != "mean" and self._mixed.alpha > 0

    def explain(self, numbers: list[int], likelihood: Tensor) -> None:
        """Set the log-likelihood of the question in each row, in nats. likelihood: [rows]"""
        self._explained |= zip(numbers, likelihood.tolist(), strict=True)

    def mix(self, logits: Tensor, numbers: list[int]) -> Tensor:
        """Mix the rows into one distribution. logits: [rows, vocab], row 0 first -> [vocab]"""
        self._numbers = numbers[1:]
        lp = logits.log_softmax(-1)
        if self.pooling == "expert":
            mixed, self._speaker, gaps = self._experts(lp)
        else:
            mixed, self._speaker, gaps = self._pooled(lp)
        self._steps += 1
        for number, gap in zip(self._numbers, gaps.tolist(), strict=True):
            self._near[number] = min(gap, self._near.get(number, gap))
        return mixed

    def spoke(self, token: int) -> int:
        """Return the row that contributed most to the chosen token."""
        speaker = self._speaker
        place = int(speaker[token]) if isinstance(speaker, Tensor) else speaker
        self._last = self._numbers[place]
        return self._last

    def far(self, numbers: list[int]) -> set[int]:
        """Return the rows that were behind the best row by more than `FAR` in every step so far. At least `FEW`
        passages are kept. Returns no rows before step `PATIENCE`.
        """
        if self._steps < PATIENCE:
            return set()
        ranked = sorted(numbers[1:], key=lambda number: self._near[number])
        return {number for number in ranked[FEW:] if self._near[number] > FAR}

    def worst(self, logits: Tensor, numbers: list[int], most: int) -> set[int]:
        """Return the rows to drop so that `most` rows are left. The logits of the first token decide which rows are
        dropped.
        """
        surplus = len(numbers) - max(most, FEW + 1)
        if surplus <= 0:
            return set()
        self._numbers = numbers[1:]
        lp = logits.log_softmax(-1)
        gaps = self._experts(lp)[2] if self.pooling == "expert" else self._pooled(lp)[2]
        return {numbers[1 + place] for place in gaps.topk(surplus).indices.tolist()}

    def _pooled(self, lp: Tensor) -> tuple[Tensor, int, Tensor]:
        lp = nbce.truncate(lp)
        entropies = nbce.entropy(lp[1:])
        if self._mixed.scores:
            entropies = nbce.capped(entropies, self._relevance())
        entropies = entropies + self._doubt()
        last = self._numbers.index(self._last) if self._last in self._numbers else -1
        entropies = nbce.favoured(entropies, last, self._mixed.eta)
        pool = nbce.mean if self.pooling == "mean" else nbce.min_entropy
        mixed, place = pool(lp[1:], lp[0], entropies, self._mixed.beta)
        return mixed, place, entropies - entropies.min()

    def _experts(self, lp: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight = self._mixed.gamma * self._relevance().log() - self._doubt()
        if self._last in self._numbers:
            weight[self._numbers.index(self._last)] += self._mixed.eta
        lp_0 = nbce.floored(nbce.truncate(lp[:1])[0])
        mixed, speakers = nbce.expert(lp[1:], lp_0, weight, self._mixed.beta)
        reached = nbce.mix(lp[1:], lp_0, self._mixed.beta).gather(-1, lp[1:].argmax(-1, keepdim=True))[:, 0] + weight
        return mixed, speakers, reached.max() - reached

    def _doubt(self) -> Tensor:
        """Return the penalty of each passage in nats: [passages]."""
        if not self._explained:
            return torch.zeros(len(self._numbers))
        return nbce.doubt(torch.tensor([self._explained[number] for number in self._numbers]), self._mixed.alpha)

    def _relevance(self) -> Tensor:
        """Return the relevance of each passage, from 0 to 1: [passages]."""
        scores = self._mixed.scores
        if not scores:
            return torch.ones(len(self._numbers))
        return torch.tensor([scores[number - 1] for number in self._numbers]).clamp(min=LEAST)
