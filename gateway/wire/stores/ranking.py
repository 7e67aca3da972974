"""Decodes OpenAI's `ranking_options`, for vector store searches and for the tool `file_search`."""

from typing import Annotated

from msgspec import Meta, Struct

from gateway.errors import BadRequest

RANKERS = ("auto", "default-2024-11-15", "none")
"""The values of the field `ranker`. Every value except `none` selects the gateway's own reranker, if one is
configured."""


class Weights(Struct, forbid_unknown_fields=True):
    embedding_weight: Annotated[float, Meta(ge=0)]
    text_weight: Annotated[float, Meta(ge=0)]


class Ranking(Struct, forbid_unknown_fields=True):
    ranker: str | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    hybrid_search: Weights | None = None

    @property
    def reranks(self) -> bool:
        return self.ranker != "none"

    @property
    def weight(self) -> float | None:
        """The weight of the vectors, from 0 to 1. If None, the learned weight is used."""
        weights = self.hybrid_search
        return weights.embedding_weight / (weights.embedding_weight + weights.text_weight) if weights else None


def checked(ranking: Ranking | None, where: str = "ranking_options") -> Ranking:
    """Check the rules that the types cannot express. Raises `BadRequest` if one is broken."""
    if ranking is None:
        return Ranking()
    if ranking.ranker is not None and ranking.ranker not in RANKERS:
        known = ", ".join(RANKERS)
        param = f"{where}.ranker"
        raise BadRequest(f"Invalid value for '{param}': {ranking.ranker!r}. Supported: {known}.", param=param)
    weights = ranking.hybrid_search
    if weights is not None and not weights.embedding_weight + weights.text_weight:
        param = f"{where}.hybrid_search"
        raise BadRequest(f"Invalid value for '{param}': one of the weights must be above 0.", param=param)
    return ranking


def shown_score(score: float) -> float:
    """Round a score, and limit it to the range from 0 to 1, as OpenAI does."""
    return max(0.0, min(1.0, round(score, 6)))
