"""Reranks by late interaction: each token of the query is compared with the nearest token of the text (ColBERT's
MaxSim).

The vectors of tokens are states of the embedding model, so no other model is needed. The embedding model was not
trained for this use. Embedding thirty chunks token by token takes a second or more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from gateway.errors import ConfigError, Problem
from gateway.registry import AdapterKind
from gateway.settings.numbers import Share

if TYPE_CHECKING:
    from gateway.ports import Vectors


class MaxSimSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[reranker] kind = "maxsim"`: compares token by token, with the model of `[embedder] kind = "sentence"`."""

    weight: Share = 0.35
    """The weight of the reranker's scores in the final score, from 0 to 1. The search's own scores have the remaining
    weight.
    """


class TokenStates(Protocol):
    """A sentence model that can also return the vectors of tokens."""

    def token_states(self, texts: Sequence[str]) -> Sequence[Vectors]: ...


class MaxSim:
    """Satisfies `ports.Reranker`."""

    def __init__(self, settings: MaxSimSettings, embedder: TokenStates) -> None:
        self.weight = settings.weight
        self._embedder = embedder

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        query_states, *others = self._embedder.token_states([query, *texts])
        return [maxsim(query_states, other) for other in others]


def maxsim(query: Vectors, text: Vectors) -> float:
    """Return the best cosine of each token of the query, averaged over these tokens. Both arrays are [tokens,
    dimensions] with rows of length 1.
    """
    return float((query @ text.T).max(axis=1).mean())


def build(_name: str, settings: MaxSimSettings, parts: Any) -> MaxSim:
    """Build the reranker with the embedder in `parts`. Raises `ConfigError` if the embedder is not a sentence model."""
    embedder: Any = getattr(parts.embedder, "embedder", None)
    if not hasattr(embedder, "token_states"):
        remedy = 'Add [embedder] with kind = "sentence", or use [reranker] kind = "http".'
        what = "needs a sentence model to compare tokens, and there is none"
        raise ConfigError([Problem(f"{parts.settings.file} [reranker] kind", what, remedy)])
    return MaxSim(settings, embedder)


def check(_settings: MaxSimSettings, _root: Path) -> Iterable[Problem]:
    return ()


KIND = AdapterKind(MaxSimSettings, build, check)
