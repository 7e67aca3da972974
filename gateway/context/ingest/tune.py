"""Learns how similar a collection's chunks are to questions about other subjects.

The questions come with the package and are about many subjects. A collection is hardly ever about more than a few of
these subjects. The few questions about them do not change the median.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gateway.context.store.catalog import Collection
from gateway.context.store.collections import Collections, tuning_of
from gateway.context.store.relevance import Tuning, is_spaceless
from gateway.ports import Embedder, Vectors

GROWTH = 0.5
"""Learn again if the number of chunks has changed by more than this share."""


class Tuner:
    """Learns the tuning of collections. Blocking.

    All collections use the same questions, so the vectors of the questions are cached.
    """

    def __init__(self, collections: Collections, embedder: Embedder) -> None:
        self._collections = collections
        self._embedder = embedder
        self._vectors: Vectors | None = None

    def learn(self, collection: Collection) -> Tuning:
        """Return the collection's tuning. If the collection is new or has changed a lot, learn the tuning and store it
        in the catalog.
        """
        known = self._collections.catalog.collection(collection.id)
        tuning = tuning_of(known) if known else Tuning()
        count = self._collections.documents(collection.id).count()
        if not count or abs(count - tuning.size) <= GROWTH * tuning.size:
            return tuning
        tuning = self._learned(collection.id, count)
        self._collections.catalog.change(collection.id, tuning=msgspec.json.encode(tuning).decode())
        return tuning

    def _learned(self, collection: str, count: int) -> Tuning:
        questions = foreign_questions()
        if self._vectors is None:
            self._vectors = self._embedder.embed(questions)
        search = self._collections.vectors.search
        nearest = [search(collection, vector, 1) for vector in self._vectors]
        cosines = [ranked[0][1] if ranked else 0.0 for ranked in nearest]
        pairs = list(zip(questions, cosines, strict=True))
        spaced = [cosine for question, cosine in pairs if not is_spaceless(question)]
        spaceless = [cosine for question, cosine in pairs if is_spaceless(question)]
        return Tuning(_median(spaced), _median(spaceless), count)


def foreign_questions() -> list[str]:
    """Return questions about many subjects. A collection is hardly ever about more than a few of these subjects."""
    return (Path(__file__).with_name("foreign_questions.txt")).read_text("utf-8").split("\n")[:-1]


def _median(cosines: Sequence[float]) -> float:
    return round(float(statistics.median(cosines)), 4)
