"""Learns how to search a collection: how much its vectors and its words count, and what is no answer.

There are no questions yet when documents come in, so sentences stand in for them: one is taken out of a
chunk, and the chunk without it must be found (the inverse cloze task). A part of the sentence's words is
left out as well, since who asks rarely uses the words of the text. What questions about other things
score at their best is the floor.
"""

import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gateway.context.store import lexical
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import CANDIDATES, Collections, Wish, tuning_of
from gateway.context.store.fusion import Tuning, fused, supported
from gateway.context.store.stored_documents import Documents, indexed
from gateway.exchange import Chunk
from gateway.ports import Embedder

if TYPE_CHECKING:
    from gateway.ports import Vectors

FEWEST_CHUNKS = 8
"""Below this nothing can be learned."""
GROWTH = 0.5
"""Learned anew when the collection has changed by this share."""
SHARE, FEWEST, MOST = 0.04, 12, 96
"""How many sentences are tried, as a share of the chunks, so that learning is a small part of adding."""
WEIGHTS = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
USUAL = 0.5
"""The weight where the sentences do not say otherwise."""
CLEAR = 2.0
"""So many times its standard error a difference has to be: a dozen sentences fall this way or that by chance."""

SENTENCE = re.compile(r"[^.!?。！？\n]+(?:[.!?](?=\s)|[。！？]|\n|$)")
SENTENCE_WORDS = 6


class Pseudo(Struct, frozen=True):
    """A sentence as a query, and the chunk that it was taken from, without it."""

    key: int
    query: str
    rest: str


class TuningTrial(Struct, frozen=True):
    """What both searches found for a pseudo-query, with the scores its chunk has without the sentence."""

    key: int
    dense: Sequence[tuple[int, float]]
    words: Sequence[tuple[int, float]]


class Tuner(Struct, frozen=True):
    """Blocking; takes some seconds for a large collection."""

    collections: Collections
    embedder: Embedder

    def learn(self, collection: Collection) -> Tuning:
        """Learn if the collection is new or has much changed, and keep it in the catalog."""
        documents = self.collections.documents(collection.id)
        known = self.collections.catalog.collection(collection.id)
        tuning = tuning_of(known) if known else Tuning()
        count = documents.count()
        if count < FEWEST_CHUNKS or abs(count - tuning.chunks) <= GROWTH * tuning.chunks:
            return tuning
        tuning = self.learned(documents, count)
        self.collections.catalog.change(collection.id, tuning=msgspec.json.encode(tuning).decode())
        return tuning

    def learned(self, documents: Documents, count: int) -> Tuning:
        wanted = min(MOST, max(FEWEST, math.ceil(SHARE * count)))
        pseudo = [made for key, chunk in documents.sample(wanted) if (made := pseudo_query(key, chunk))]
        trials = self._trials(documents, pseudo)
        weight = best_weight(trials)
        return Tuning(weight, self._floor(documents, trials, weight), count)

    def _trials(self, documents: Documents, pseudo: Sequence[Pseudo]) -> list[TuningTrial]:
        if not pseudo:
            return []
        average = sum(len(lexical.words_of(one.rest)) for one in pseudo) / len(pseudo)
        queries = self.embedder.embed([one.query for one in pseudo])
        rests = self.embedder.embed([one.rest for one in pseudo])
        return [
            self._trial(documents, one, query, float(query @ rest), average)
            for one, query, rest in zip(pseudo, queries, rests, strict=True)
        ]

    def _trial(self, documents: Documents, one: Pseudo, query: "Vectors", cosine: float, average: float) -> TuningTrial:
        dense = self.collections.vectors.search(documents.collection, query, CANDIDATES)
        words = documents.by_words(one.query, CANDIDATES, None)
        (share,) = documents.likeness(one.query).shares([one.rest], average)
        return TuningTrial(one.key, _with(dense, one.key, cosine), _with(words, one.key, share))

    def _floor(self, documents: Documents, trials: Sequence[TuningTrial], weight: float) -> float:
        queries = foreign_questions()
        vectors = self.embedder.embed(queries)
        foreign = [
            self.collections.best(documents, Wish(query, vector, 1), weight)
            for query, vector in zip(queries, vectors, strict=True)
        ]
        own = [self._best(documents, trial, weight) for trial in trials]
        return floor_between(own, foreign)

    def _best(self, documents: Documents, trial: TuningTrial, weight: float) -> float:
        """The best score that the trial's search would have."""
        ranked = fused(trial.dense, trial.words, weight)
        return supported(ranked, documents.owners([key for key, _ in ranked]))[0][1]


def best_weight(trials: Sequence[TuningTrial]) -> float:
    """By the mean reciprocal rank: of the weights that are not clearly worse than the best one, the nearest to the
    usual one."""
    if len(trials) < 2:
        return USUAL
    ranks = {weight: [reciprocal_rank(trial, weight) for trial in trials] for weight in WEIGHTS}
    best = max(ranks.values(), key=statistics.fmean)
    good = [weight for weight, found in ranks.items() if not _clearly_better(best, found)]
    return min(good, key=lambda weight: abs(weight - USUAL))


def _clearly_better(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the ranks of the same trials differ by more than chance."""
    gains = [a - b for a, b in zip(one, other, strict=True)]
    return statistics.fmean(gains) > CLEAR * statistics.stdev(gains) / math.sqrt(len(gains))


def reciprocal_rank(trial: TuningTrial, weight: float) -> float:
    ranked = [key for key, _ in fused(trial.dense, trial.words, weight)]
    return 1.0 / (ranked.index(trial.key) + 1)


def floor_between(own: Sequence[float], foreign: Sequence[float]) -> float:
    """What parts the best scores of a collection's own sentences from those of foreign questions.

    Above nine in ten of the foreign ones, unless that would shut out more than one in twenty of its own.
    """
    upper = sorted(foreign)[int(0.9 * (len(foreign) - 1))] if foreign else 0.0
    lower = sorted(own)[int(0.05 * (len(own) - 1))] if own else upper
    return round(min(upper, lower), 3)


def pseudo_query(key: int, chunk: Chunk) -> Pseudo | None:
    """A sentence out of the middle of a chunk, without every third of its words; None if it has too few."""
    sentences = [found for found in SENTENCE.finditer(chunk.text) if _size(found[0]) >= SENTENCE_WORDS]
    if len(sentences) < 2:
        return None
    chosen = sentences[len(sentences) // 2]
    rest = chunk.text[: chosen.start()] + chunk.text[chosen.end() :]
    return Pseudo(key, thinned(chosen[0].strip()), indexed(chunk.heading, rest))


def thinned(sentence: str) -> str:
    """Without every third word, or of a text without spaces every third piece of four characters."""
    words = sentence.split()
    if len(words) < SENTENCE_WORDS:
        words = [sentence[first : first + 4] for first in range(0, len(sentence), 4)]
        return "".join(word for place, word in enumerate(words) if place % 3 != 2)
    return " ".join(word for place, word in enumerate(words) if place % 3 != 2)


def foreign_questions() -> list[str]:
    """Questions about all manner of things, of which hardly a collection is about many."""
    return (Path(__file__).with_name("foreign_questions.txt")).read_text("utf-8").split("\n")[:-1]


def _with(ranked: Sequence[tuple[int, float]], key: int, score: float) -> list[tuple[int, float]]:
    found: Any = [(other, value) for other, value in ranked if other != key]
    return sorted([*found, (key, score)], key=lambda pair: -pair[1])


def _size(text: str) -> int:
    return max(len(text.split()), len(text) // 12 if lexical.IS_SPACELESS.search(text) is None else len(text) // 2)
