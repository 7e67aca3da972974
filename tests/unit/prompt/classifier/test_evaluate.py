import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from gateway.ports import Vectors
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.classifier.embedding_cache import EmbeddingCache
from gateway.prompt.classifier.evaluate import evaluate
from gateway.prompt.classifier.explanation import why
from gateway.prompt.classifier.labelled import NONE, Labelled
from gateway.prompt.classifier.lessons import Seeds
from gateway.prompt.classifier.model import GATE
from gateway.prompt.classifier.regression import TrainingRows, fit, middle
from gateway.prompt.classifier.train import Embedders, train, trained
from gateway.prompt.library.library import Library
from gateway.settings.prompt import PromptTable
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.small_library import THINGS, THINGS_ZH, UNKNOWN, library, seeds

ASKS = {"card_lost": "i cannot find {}", "refund": "money back for {}", "hours": "when is {} open", "路": "{}怎么走"}
LABELLED = tuple(
    Labelled(ask.format(thing), intent, "zh" if things is THINGS_ZH else "en")
    for intent, ask in ASKS.items()
    for things in ((THINGS_ZH,) if intent == "路" else (THINGS,))
    for thing in things
)
OUTSIDE = tuple(Labelled(text, NONE, "en") for text in UNKNOWN)
NOTHING = Seeds(seeds().improvable, seeds().pairs, ())


class Awaited:
    def __init__(self) -> None:
        self.embedder = BagEmbedder("sentence", shift=7)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return self.embedder.embed(texts)


def classifier(labelled: Sequence[Labelled] = (), templates: Library | None = None) -> Classifier:
    static = BagEmbedder("static")
    embedders = Embedders(static, BagEmbedder("sentence", shift=7))
    model = train(library() if templates is None else templates, embedders, NOTHING, labelled)
    return Classifier(model, PromptTable(), static, Awaited())


async def test_labelled_prompts_alone_make_a_classifier_in_both_languages() -> None:
    found = await evaluate(classifier((*LABELLED, *OUTSIDE), Library()), LABELLED)
    assert found.figures["accuracy"] > 0.9
    assert found.unseen == ()


async def test_labelled_prompts_are_learned_beside_the_templates() -> None:
    made = classifier((*LABELLED, *OUTSIDE))
    assert (await made.classify("i cannot find my late order please")).name == "card_lost"
    assert (await made.classify("translate into French: good morning")).name == "translate"


async def test_prompts_of_nobody_are_told_apart_and_unknown_labels_are_named() -> None:
    rows = [*LABELLED, *OUTSIDE, Labelled("sing me a lullaby", "sing", "en")]
    found = await evaluate(classifier((*LABELLED, *OUTSIDE), Library()), rows)
    assert found.figures["unknown AUROC"] > 0.9
    assert found.unseen == ("sing",)


async def test_why_opens_every_tier_and_its_gate_adds_up() -> None:
    found = await why(classifier((*LABELLED, *OUTSIDE)), "i cannot find the broken lift anywhere")
    assert [tier.tier for tier in found.tiers] == ["static", "sentence"]
    first = found.tiers[0]
    assert first.intent == found.intent == "card_lost"
    assert [name for name, _, _ in first.gate] == list(GATE)
    assert first.nearest[0][1] == "card_lost"
    assert "find" in {part for word, _ in first.words for part in re.findall("[a-z]+", word)}


def test_the_gateway_learns_from_kept_labels_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    from gateway.prompt.classifier.labelled import write_labelled
    from gateway.prompt.classifier.train import LABELLED as FILE

    folder = tmp_path_factory.mktemp("data")
    before = trained(library(), Embedders(), folder, seeds())
    write_labelled(LABELLED, folder / "classifier" / FILE)
    after = trained(library(), Embedders(), folder, seeds())
    assert "refund" in set(after.tiers["en"]["words"].names.classes) - set(before.tiers["en"]["words"].names.classes)
    assert after.trained_on != before.trained_on


def test_texts_are_embedded_once_and_a_damaged_cache_is_made_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cache")
    wanted = BagEmbedder("x").embed(["one two", "three", "one two"])
    first, second, third = BagEmbedder("x"), BagEmbedder("x"), BagEmbedder("x")
    assert np.array_equal(EmbeddingCache(first, folder).embed(["one two", "three", "one two"]), wanted)
    assert sorted(first.texts) == ["one two", "three"]
    assert np.array_equal(EmbeddingCache(second, folder).embed(["three", "one two"]), wanted[[1, 0]])
    assert second.texts == []
    (file,) = folder.iterdir()
    file.write_bytes(b"damaged")
    EmbeddingCache(third, folder).embed(["three"])
    assert third.texts == ["three"]


def test_many_texts_are_embedded_in_pieces_and_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.prompt.classifier.embedding_cache.PIECE", 3)
    texts = [f"word{number} {'more ' * (number % 5)}" for number in range(20)]
    told: list[str] = []
    found = EmbeddingCache(BagEmbedder("x"), tmp_path, told.append).embed(texts)
    assert np.array_equal(found, BagEmbedder("x").embed(texts))
    assert told[-1] == "embedded 20 of 20 prompts"
    assert len(told) == 7


def test_learning_that_begins_near_ends_where_it_ends_from_nothing() -> None:
    chance = np.random.default_rng(3)
    vectors = chance.normal(size=(400, 8)).astype(np.float32)
    labels = np.array(["a", "b", "c"])[np.abs(vectors[:, :3]).argmax(axis=1)]
    table = TrainingRows(sparse.csr_matrix((400, 0), dtype=np.float32), vectors)
    parts = [fit(table.take(rows), labels[rows]) for rows in (np.arange(0, 300), np.arange(100, 400))]
    far, near = fit(table, labels), fit(table, labels, middle(parts))
    assert np.abs(far.chances(table) - near.chances(table)).max() < 0.02
    other = fit(table.take(np.flatnonzero(labels != "c")), labels[labels != "c"])
    assert middle([parts[0], other]) is None
    assert np.array_equal(fit(table, labels, other).weights, far.weights)


def test_the_regression_finds_what_scikit_learn_finds() -> None:
    from sklearn.linear_model import LogisticRegression

    chance = np.random.default_rng(0)
    words = sparse.random(90, 30, 0.2, "csr", np.float32, chance)
    vectors = chance.normal(size=(90, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.repeat(["a", "b", "c"], 30)
    ours = fit(TrainingRows(words, vectors), labels).chances(TrainingRows(words, vectors))
    both = np.hstack([words.toarray(), vectors])
    theirs = LogisticRegression(C=30.0, max_iter=2000, tol=1e-8).fit(both, labels).predict_proba(both)
    assert np.abs(ours - theirs).max() < 0.02
