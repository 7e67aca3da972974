"""Estimates whether a collection says anything about a question, so that a search can return nothing.

Some chunk is always the nearest. A minimum score cannot tell whether it answers the question: in some collections even
foreign questions have high scores, in others not even their own questions do. Therefore a logistic model weighs several
signs.

The weights were learned on half of the questions of six English collections, and for scripts without spaces on those of
a Chinese collection. `benchmarks/silence.py` measures on the other half.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from gateway.context.store.index_text import indexed
from gateway.context.store.lexical import Likeness
from gateway.context.store.words import IS_SPACELESS, STOP, terms_of, words_of

COVERED = 3
"""The number of best chunks in which the words of a question are searched for."""
MOST_SHARE, MOST_COVER = 0.35, 0.7
"""The maximum values that count. Higher values prove no more."""


LEAST_ADDED = 0.3
"""The minimum share of a follow-up's new words that one of the best chunks must contain."""


class Tuning(Struct, frozen=True):
    """What was learned about a collection when it had `size` chunks: the usual cosine between a question about
    something else and its nearest chunk.

    If a model does not know a language, all texts in that language seem alike to it. Therefore scripts without spaces
    have a value of their own.
    """

    spaced: float = 0.2
    spaceless: float = 0.7
    size: int = 0


class SearchSigns(Struct, frozen=True):
    """What a search tells about a question: the highest cosine (None without vectors), the highest share of BM25, the
    greatest part of the question's words in one of the best chunks, weighted by rarity, and the number of words."""

    cosine: float | None
    share: float
    cover: float
    words: int
    spaceless: bool


class RelevanceWeights(Struct, frozen=True):
    """The weights of the logistic model. `headroom` is for the cosine, as a part of what was left above the usual."""

    bias: float
    headroom: float
    share: float
    cover: float
    words: float
    most_words: int
    """The maximum number of words that count, so that a long message is not relevant to everything."""


SPACED = RelevanceWeights(-18.196, 18.085, 0.0, 8.013, 7.121, 4)
SPACED_BY_WORDS = RelevanceWeights(-21.073, 0.0, 21.479, 9.382, 6.873, 12)
SPACELESS = RelevanceWeights(-3.861, 0.0, 8.547, 8.94, -0.053, 12)
"""In Chinese the pairs of characters separate questions better than the vectors of an English model do."""


def relevance(signs: SearchSigns, tuning: Tuning) -> float:
    """The estimate, from 0 to 1. A question of stop words alone has the relevance 0."""
    if not signs.words:
        return 0.0
    weights = SPACELESS if signs.spaceless else SPACED if signs.cosine is not None else SPACED_BY_WORDS
    usual = tuning.spaceless if signs.spaceless else tuning.spaced
    headroom = ((signs.cosine or 0.0) - usual) / max(0.05, 1 - usual)
    value = (
        weights.bias
        + weights.headroom * headroom
        + weights.share * min(MOST_SHARE, signs.share)
        + weights.cover * min(MOST_COVER, signs.cover)
        + weights.words * math.log1p(min(weights.most_words, signs.words))
    )
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, value))))


def signs_of(
    query: str, cosine: float | None, share: float, likeness: Likeness, best: Sequence[tuple[str, str, str]]
) -> SearchSigns:
    """The signs of a query. `best` holds label, heading and text of each of the best chunks."""
    return SearchSigns(
        cosine,
        share,
        max((_cover(likeness, indexed(*parts)) for parts in best), default=0.0),
        len([word for word in terms_of(query) if word not in STOP]),
        is_spaceless(query),
    )


def adds_to(likeness: Likeness, addition: str, best: Sequence[tuple[str, str, str]]) -> bool:
    """Whether the best chunks have something to do with what a message adds to the one before it. Otherwise the message
    is about something else, and the chunks answer the one before."""
    if all(word in STOP for word in words_of(addition)):
        return True
    return max((_cover(likeness, indexed(*parts)) for parts in best), default=0.0) >= LEAST_ADDED


def is_spaceless(text: str) -> bool:
    return IS_SPACELESS.search(text) is not None


def _cover(likeness: Likeness, text: str) -> float:
    """Return the share of the query's words, weighted by rarity, that a text contains."""
    held = set(words_of(text))
    total = sum(likeness.idf.values())
    return sum(idf for word, idf in likeness.idf.items() if word in held) / total if total else 0.0
