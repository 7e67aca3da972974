"""Learns the floor of a collection, the minimum score of a chunk that may be an answer.

Documents have no questions, so sentences stand in for them. A sentence is removed from its chunk and scored against the
rest of the chunk (the inverse cloze task). A third of the sentence's words is dropped too, since a question rarely uses
the words of the text. The floor lies between these scores and the scores of questions about other subjects.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from gateway.context.store.catalog import Collection
from gateway.context.store.collections import CANDIDATES, Collections, Wish, tuning_of
from gateway.context.store.fusion import VECTORS_SHARE, Tuning, fused, supported
from gateway.context.store.index_text import indexed, label_of
from gateway.context.store.stored_documents import Documents
from gateway.context.store.words import IS_SPACELESS, words_of
from gateway.exchange import Chunk
from gateway.ports import Embedder

if TYPE_CHECKING:
    from gateway.ports import Vectors

FEWEST_CHUNKS = 8
"""The minimum number of chunks from which a floor is learned."""
GROWTH = 0.5
"""The floor is learned again when the number of chunks has changed by this share."""
SHARE, FEWEST, MOST = 0.04, 12, 96
"""The number of sentences: this share of the chunks, but at least `FEWEST` and at most `MOST`."""

SENTENCE = re.compile(r"[^.!?。！？\n]+(?:[.!?](?=\s)|[。！？]|\n|$)")
SENTENCE_WORDS = 6


class Pseudo(Struct, frozen=True):
    """A sentence that serves as a query, and its chunk without the sentence."""

    key: int
    query: str
    rest: str


class TuningTrial(Struct, frozen=True):
    """The results of both searches for a pseudo-query, and the scores of its chunk without the sentence."""

    dense: Sequence[tuple[int, float]]
    words: Sequence[tuple[int, float]]


class Tuner(Struct, frozen=True):
    """Learns the floors of collections. Blocking. A large collection takes some seconds."""

    collections: Collections
    embedder: Embedder

    def learn(self, collection: Collection) -> Tuning:
        """Learn and store the floor, if the collection is new or has changed a lot."""
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
        size = min(MOST, max(FEWEST, math.ceil(SHARE * count)))
        pseudo = [query for key, chunk in documents.sample(size) if (query := pseudo_query(key, chunk))]
        return Tuning(self._floor(documents, self._trials(documents, pseudo)), count)

    def _trials(self, documents: Documents, pseudo: Sequence[Pseudo]) -> list[TuningTrial]:
        if not pseudo:
            return []
        average = sum(len(words_of(item.rest)) for item in pseudo) / len(pseudo)
        queries = self.embedder.embed([item.query for item in pseudo])
        rests = self.embedder.embed([item.rest for item in pseudo])
        return [
            self._trial(documents, item, query, float(query @ rest), average)
            for item, query, rest in zip(pseudo, queries, rests, strict=True)
        ]

    def _trial(
        self, documents: Documents, item: Pseudo, query: "Vectors", cosine: float, average: float
    ) -> TuningTrial:
        dense = self.collections.vectors.search(documents.collection, query, CANDIDATES)
        words = documents.by_words(item.query, CANDIDATES, None)
        (share,) = documents.likeness(item.query).shares([item.rest], average)
        return TuningTrial(_with(dense, item.key, cosine), _with(words, item.key, share))

    def _floor(self, documents: Documents, trials: Sequence[TuningTrial]) -> float:
        queries = foreign_questions()
        vectors = self.embedder.embed(queries)
        foreign = [
            self.collections.best(documents, Wish(query, vector, 1))
            for query, vector in zip(queries, vectors, strict=True)
        ]
        return floor_between([self._best(documents, trial) for trial in trials], foreign)

    def _best(self, documents: Documents, trial: TuningTrial) -> float:
        """Return the best score of the trial's search."""
        ranked = fused(trial.dense, trial.words, VECTORS_SHARE)
        return supported(ranked, documents.owners([key for key, _ in ranked]))[0][1]


def floor_between(own: Sequence[float], foreign: Sequence[float]) -> float:
    """Return a score between those of a collection's own sentences and those of foreign questions. The arguments are
    the best scores of each.

    The floor is above nine of ten foreign scores. It is lower if it would exclude more than one in twenty own scores.
    """
    upper = sorted(foreign)[int(0.9 * (len(foreign) - 1))] if foreign else 0.0
    lower = sorted(own)[int(0.05 * (len(own) - 1))] if own else upper
    return round(min(upper, lower), 3)


def pseudo_query(key: int, chunk: Chunk) -> Pseudo | None:
    """Return a sentence from the middle of a chunk, without every third word, or None if the chunk has too few
    sentences.
    """
    sentences = [match for match in SENTENCE.finditer(chunk.text) if _size(match[0]) >= SENTENCE_WORDS]
    if len(sentences) < 2:
        return None
    chosen = sentences[len(sentences) // 2]
    rest = chunk.text[: chosen.start()] + chunk.text[chosen.end() :]
    return Pseudo(key, thinned(chosen[0].strip()), indexed(label_of(chunk.source), chunk.heading, rest))


def thinned(sentence: str) -> str:
    """Return the sentence without every third word. In a sentence without spaces, every third group of four characters
    is dropped.
    """
    words = sentence.split()
    if len(words) < SENTENCE_WORDS:
        words = [sentence[first : first + 4] for first in range(0, len(sentence), 4)]
        return "".join(word for place, word in enumerate(words) if place % 3 != 2)
    return " ".join(word for place, word in enumerate(words) if place % 3 != 2)


def foreign_questions() -> list[str]:
    """Return questions about many subjects. Hardly any collection is about more than a few of them."""
    return (Path(__file__).with_name("foreign_questions.txt")).read_text("utf-8").split("\n")[:-1]


def _with(ranked: Sequence[tuple[int, float]], key: int, score: float) -> list[tuple[int, float]]:
    others = [(other, value) for other, value in ranked if other != key]
    return sorted([*others, (key, score)], key=lambda pair: -pair[1])


def _size(text: str) -> int:
    return max(len(text.split()), len(text) // 12 if IS_SPACELESS.search(text) is None else len(text) // 2)
