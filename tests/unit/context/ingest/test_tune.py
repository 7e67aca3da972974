"""The floor that is learned for a collection."""

from gateway.context.ingest.tune import Tuner, floor_between, foreign_questions, pseudo_query, thinned
from gateway.context.store.collections import Collections, Wish, tuning_of
from gateway.context.store.fusion import Tuning
from gateway.exchange import Chunk
from gateway.ports import Embedder
from tests.doubles.bag_embedder import BagEmbedder


def text_of(number: int) -> str:
    return (
        f"The office of town{number} opens at nine in the morning. Its staff in town{number} speak language{number} "
        f"with all people. They sell stamps to language{number} speakers, and letters leave town{number} each day."
    )


def fill(collections: Collections, embedder: Embedder, count: int = 40) -> str:
    id = collections.catalog.create("", "offices")
    documents = collections.documents(id)
    document = documents.stage("offices.md", "")
    chunks = [Chunk(str(number), id, "offices.md", text_of(number)) for number in range(count)]
    keys = documents.put(document, chunks)
    collections.vectors.add(id, document, keys, embedder.embed([chunk.text for chunk in chunks]))
    documents.go_live(document)
    return id


def learned(collections: Collections, embedder: Embedder, count: int = 40) -> tuple[str, Tuning]:
    id = fill(collections, embedder, count)
    collection = collections.catalog.collection(id)
    assert collection is not None
    return id, Tuner(collections, embedder).learn(collection)


def test_foreign_questions_stay_below_the_floor_and_its_own_above(collections: Collections) -> None:
    embedder = BagEmbedder()
    id, tuning = learned(collections, embedder)
    collection = collections.catalog.collection(id)
    assert collection is not None
    assert tuning_of(collection) == tuning
    assert tuning.chunks == 40

    def best(query: str) -> float:
        return collections.look_up(collection, Wish(query, embedder.embed([query])[0], 1))[0].score

    assert best("Which language21 do people of town21 speak?") > tuning.floor
    below = [question for question in foreign_questions() if best(question) <= tuning.floor]
    assert len(below) >= 0.85 * len(foreign_questions())


def test_it_is_learned_once_and_again_when_the_collection_has_grown(collections: Collections) -> None:
    embedder = BagEmbedder()
    id, first = learned(collections, embedder)
    collection = collections.catalog.collection(id)
    assert collection is not None
    embedder.texts.clear()

    assert Tuner(collections, embedder).learn(collection) == first
    assert embedder.texts == []


def test_of_a_few_chunks_nothing_can_be_learned(collections: Collections) -> None:
    assert learned(collections, BagEmbedder(), 5)[1] == Tuning()


def test_a_weight_that_an_earlier_version_learned_is_ignored(collections: Collections) -> None:
    id = collections.catalog.create("", "offices")
    collections.catalog.change(id, tuning='{"weight":0.2,"floor":0.3,"chunks":9}')
    collection = collections.catalog.collection(id)

    assert collection is not None
    assert tuning_of(collection) == Tuning(0.3, 9)


def test_a_floor_does_not_shut_out_what_the_collection_holds() -> None:
    assert floor_between([0.5] * 20, [0.1] * 17 + [0.2, 0.2, 0.9]) == 0.2
    assert floor_between([0.3] * 20, [0.8] * 20) == 0.3


def test_a_pseudo_query_is_a_thinned_sentence_that_its_chunk_has_lost() -> None:
    chunk = Chunk("x", "c", "s", "One two three four five six. Seven is not a lucky number at all. A b c d e f g.")

    made = pseudo_query(1, chunk)

    assert made is not None
    assert made.query == "Seven is a lucky at all."
    assert "Seven" not in made.rest
    assert pseudo_query(1, Chunk("x", "c", "s", "Only one sentence here of some words.")) is None
    assert thinned("员工每年享有十五天带薪年假") == "员工每年享有十五假"
