"""What is learned of a collection: how near its chunks are to questions about other things."""

import pytest

from gateway.context.ingest.tune import Tuner, foreign_questions
from gateway.context.store.collections import Collections, tuning_of
from gateway.context.store.relevance import Tuning, is_spaceless
from gateway.exchange import Chunk
from gateway.ports import Embedder
from tests.doubles.bag_embedder import BagEmbedder


def fill(collections: Collections, embedder: Embedder, *texts: str) -> str:
    id = collections.catalog.create("", "offices")
    documents = collections.documents(id)
    document = documents.stage("offices.md", "")
    keys = documents.put(document, [Chunk(str(place), id, "offices.md", text) for place, text in enumerate(texts)])
    collections.vectors.add(id, document, keys, embedder.embed(texts))
    documents.go_live(document)
    return id


def learned(collections: Collections, embedder: Embedder, *texts: str) -> tuple[str, Tuning]:
    id = fill(collections, embedder, *texts)
    collection = collections.catalog.collection(id)
    assert collection is not None
    return id, Tuner(collections, embedder).learn(collection)


def test_a_collection_that_is_near_to_everything_is_known_as_such(collections: Collections) -> None:
    _, far = learned(collections, BagEmbedder(), "zebra quagga okapi")
    _, near = learned(
        collections, BagEmbedder(), "how do i what is the which who does a of in", "怎样世界上的是哪一座如何"
    )

    assert far.spaced == pytest.approx(0.0, abs=0.1)
    assert near.spaced > 0.3
    assert near.spaceless > far.spaceless


def test_it_is_learned_once_and_again_when_the_collection_has_grown(collections: Collections) -> None:
    embedder = BagEmbedder()
    id, first = learned(collections, embedder, *["Fifteen days."] * 10)
    collection = collections.catalog.collection(id)
    assert collection is not None
    assert tuning_of(collection) == first
    assert first.size == 10
    embedder.texts.clear()

    assert Tuner(collections, embedder).learn(collection) == first
    assert embedder.texts == []


def test_of_an_empty_collection_nothing_is_learned(collections: Collections) -> None:
    assert learned(collections, BagEmbedder())[1] == Tuning()


def test_the_questions_are_embedded_once_for_all_collections(collections: Collections) -> None:
    embedder = BagEmbedder()
    ids = [fill(collections, embedder, "Fifteen days."), fill(collections, embedder, "Three weeks.")]
    tuner = Tuner(collections, embedder)
    embedder.texts.clear()

    for id in ids:
        collection = collections.catalog.collection(id)
        assert collection is not None
        tuner.learn(collection)

    assert embedder.texts == foreign_questions()


def test_what_an_earlier_version_learned_is_learned_anew(collections: Collections) -> None:
    embedder = BagEmbedder()
    id = fill(collections, embedder, "Fifteen days.")
    collections.catalog.change(id, tuning='{"weight":0.2,"floor":0.3,"chunks":1}')
    collection = collections.catalog.collection(id)

    assert collection is not None
    assert tuning_of(collection) == Tuning()
    assert Tuner(collections, embedder).learn(collection).size == 1


def test_the_questions_are_in_scripts_with_and_without_spaces() -> None:
    kinds = [is_spaceless(question) for question in foreign_questions()]

    assert min(kinds.count(True), kinds.count(False)) >= 8
