"""Estimates whether a collection says anything about a question. If it does not, a search returns nothing.

There is always a nearest chunk, and a minimum score cannot tell whether this chunk answers the question. In some
collections, even questions about other subjects have high scores. In other collections, even questions about their own
subject have low scores.

Therefore a logistic model weighs several signs. The weights were learned on half of the questions about six English
collections. The weights for scripts without spaces were learned on half of the questions about a Chinese collection.
`benchmarks/silence.py` measures the model on the other half.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from gateway.context.store.index_text import indexed
from gateway.context.store.lexical import Likeness
from gateway.context.store.words import IS_SPACELESS, STOP, terms_of, words_of

COVERED = 3
"""The words of a question are searched for in this many of the best chunks."""
MOST_SHARE, MOST_COVER = 0.35, 0.7
"""The limits of `share` and `cover`. A value above its limit counts as the limit, since it proves no more."""


LEAST_ADDED = 0.3
"""One of the best chunks must contain at least this share of the new words in a follow-up message."""


class Tuning(Struct, frozen=True):
    """The usual cosine between a question about another subject and its nearest chunk in a collection. It was learned
    when the collection had `size` chunks.

    If a model does not know a language, all texts in that language seem alike to the model. Therefore there is one
    value for scripts with spaces, and another for scripts without spaces.
    """

    spaced: float = 0.2
    spaceless: float = 0.7
    size: int = 0


class SearchSigns(Struct, frozen=True):
    """What a search tells about a question.

    `cosine` is the highest cosine, or None without vectors. `share` is the highest share of BM25. `cover` is the
    greatest share of the question's words, weighted by rarity, that one of the best chunks contains. `words` is the
    number of words in the question without stop words.
    """

    cosine: float | None
    share: float
    cover: float
    words: int
    spaceless: bool


class RelevanceWeights(Struct, frozen=True):
    """The weights of the logistic model. `headroom` is the weight of the difference between the question's cosine and
    the usual cosine. The difference is given as a share of the greatest possible difference.
    """

    bias: float
    headroom: float
    share: float
    cover: float
    words: float
    most_words: int
    """The maximum number of words that count. Otherwise a long message would be relevant to everything."""


SPACED = RelevanceWeights(-18.196, 18.085, 0.0, 8.013, 7.121, 4)
SPACED_LARGE = RelevanceWeights(-24.821, 21.041, 0.0, 11.248, 9.851, 4)
"""For collections of `LARGE` chunks. Among many chunks, one is often near a question about another subject. Among few,
there is hardly ever one, and a question in other words than the text must not be lost.
"""
LARGE = 64
SPACED_BY_WORDS = RelevanceWeights(-21.073, 0.0, 21.479, 9.382, 6.873, 12)
SPACELESS = RelevanceWeights(-3.861, 0.0, 8.547, 8.94, -0.053, 12)
"""In Chinese, pairs of characters are a better sign of relevance than the vectors of an English model."""


def relevance(signs: SearchSigns, tuning: Tuning) -> float:
    """Return the estimate, from 0 to 1. The relevance of a question that consists only of stop words is 0."""
    if not signs.words:
        return 0.0
    vectors = SPACED_LARGE if tuning.size >= LARGE else SPACED
    weights = SPACELESS if signs.spaceless else vectors if signs.cosine is not None else SPACED_BY_WORDS
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
    query: str, cosine: float | None, share: float, likeness: Likeness, best: Sequence[tuple[str, str, str, str]]
) -> SearchSigns:
    """Return the signs of a query. `best` holds the label, heading, text and placement of each of the best
    chunks.
    """
    return SearchSigns(
        cosine,
        share,
        max((_cover(likeness, indexed(*parts)) for parts in best), default=0.0),
        len([word for word in terms_of(query) if word not in STOP]),
        is_spaceless(query),
    )


def adds_to(likeness: Likeness, addition: str, best: Sequence[tuple[str, str, str, str]]) -> bool:
    """Whether one of the best chunks has something to do with the words that a message adds to the message before it.
    Otherwise the new message is about something else, and the chunks answer only the message before it.
    """
    if all(word in STOP for word in words_of(addition)):
        return True
    return max((_cover(likeness, indexed(*parts)) for parts in best), default=0.0) >= LEAST_ADDED


def is_spaceless(text: str) -> bool:
    return IS_SPACELESS.search(text) is not None


def _cover(likeness: Likeness, text: str) -> float:
    """Return the share of the query's words that a text contains. Rare words count more."""
    held = set(words_of(text))
    total = sum(likeness.idf.values())
    return sum(idf for word, idf in likeness.idf.items() if word in held) / total if total else 0.0
