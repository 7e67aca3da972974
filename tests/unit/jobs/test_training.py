"""Examples that harm are found; a classifier takes over only if it is right more often on what was held out."""

import json
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from gateway.prompt.classifier.lessons import read_seeds
from gateway.prompt.classifier.train import kept_labels
from gateway.settings.tables import Settings
from offline_jobs import train_classifier, train_shots
from offline_jobs.datasets import dataset
from offline_jobs.datasets.rows import DatasetRow, What
from offline_jobs.engine.embedding import open_embedder
from offline_jobs.engine.ledger import DONE, LedgerJob
from offline_jobs.statistics.worth import worth
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.templates import source, write

Run = Callable[..., LedgerJob]
WORDS = {"refund": "money back please", "delivery": "parcel where now", "password": "login reset help"}


@pytest.fixture(autouse=True)
def bag(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bag of words in place of the sentence model, which takes seconds to load, and some of the seed prompts."""
    for module in (train_classifier, train_shots):
        monkeypatch.setattr(module, "open_embedder", lambda _settings: BagEmbedder())
    seeds = read_seeds()
    few = replace(seeds, prompts=seeds.prompts[::10], unknown=seeds.unknown[::10], improvable=seeds.improvable[::4])
    monkeypatch.setattr(train_classifier, "read_seeds", lambda: few)


def texts(draw: Random, count: int) -> list[tuple[str, str]]:
    found = []
    for number in range(count):
        label = draw.choice(sorted(WORDS))
        words = [*WORDS[label].split(), *(draw.choice(["the", "my", "a", "is", "it", "of"]) for _ in range(3))]
        found.append((f"{' '.join(draw.sample(words, len(words)))} {number}", label))
    return found


def test_the_values_are_those_of_every_order_in_which_examples_could_come() -> None:
    draw = np.random.default_rng(0)
    examples, query = draw.normal(size=(5, 3)), draw.normal(size=(1, 3))
    labels, wanted, k = np.array([0, 1, 0, 1, 0]), np.array([0]), 2

    def utility(chosen: list[int]) -> float:
        near = sorted(chosen, key=lambda at: -float(examples[at] @ query[0]))[:k]
        return sum(labels[at] == wanted[0] for at in near) / k

    orders = list(permutations(range(5)))
    by_hand = np.zeros(5)
    for order in orders:
        for place, at in enumerate(order):
            by_hand[at] += utility([*order[: place + 1]]) - utility([*order[:place]])
    np.testing.assert_allclose(worth(examples, labels, query, wanted, k), by_hand / len(orders), atol=1e-12)


def test_wrong_labels_are_found_and_left_out(settings: Settings, run: Run) -> None:
    draw = Random(5)
    rows = [DatasetRow(text, wanted=label) for text, label in texts(draw, 150)]
    wrong = {row.query for row in draw.sample(rows, 20)}
    spoilt = [
        DatasetRow(row.query, wanted="password" if row.wanted != "password" else "refund")
        if row.query in wrong
        else row
        for row in rows
    ]
    dataset.write(settings.data_folder, "pool", spoilt, counts={}, query={})
    job = run("train-shots", dataset="pool")
    assert job.state == DONE, job.reason
    kept = {row.query for row in dataset.find(settings.data_folder, "pool-helpful").read()}
    from offline_jobs.datasets.splits import split

    learn = {row.query for row in split(spoilt, 0, 2000, 2000).learn}
    dropped = learn - kept
    assert len(wrong & learn) > 3
    assert len(dropped & wrong) / len(learn & wrong) > 3 * len(dropped - wrong) / len(learn - wrong)


def test_a_pool_without_two_answers_says_what_is_missing(settings: Settings, run: Run) -> None:
    dataset.write(
        settings.data_folder, "pool", [DatasetRow(f"q {n}", wanted="same") for n in range(40)], counts={}, query={}
    )
    job = run("train-shots", dataset="pool")
    assert (job.state, "at least two different right answers" in job.reason) == ("failed", True)


def prepared(settings: Settings, wrong: float = 0.0) -> None:
    """Templates whose match examples say little, and a harvest in which users use other words."""
    draw = Random(7)
    for intent in WORDS:
        match = [f"about {intent} number {number}" for number in range(8)]
        near = [f"{intent} opening hours", f"is there a {intent} museum"]
        text = source(id=f"{intent}.en", intent=intent, match=match, not_=near)
        write(settings.root / "templates", intent, text)
    rows = []
    for text, label in texts(draw, 160):
        said = draw.choice(sorted(WORDS)) if draw.random() < wrong else label
        rows.append(DatasetRow(text, What.FAILURE, label=said))
    dataset.write(settings.data_folder, "harvest", rows, counts={}, query={})


def test_labels_that_help_are_kept_for_every_later_training(settings: Settings, run: Run) -> None:
    prepared(settings)
    job = run("train-classifier")
    assert job.state == DONE, job.reason
    report = json.loads(job.report)
    assert report["accepted"], report["verdict"]
    assert report["after"] > report["before"]
    assert {row.intent for row in kept_labels(settings.data_folder)} == set(WORDS)


def test_labels_that_say_nothing_change_nothing(settings: Settings, run: Run) -> None:
    prepared(settings, wrong=1.0)
    job = run("train-classifier")
    assert job.state == DONE, job.reason
    assert not json.loads(job.report)["accepted"]
    assert kept_labels(settings.data_folder) == ()


def test_a_judge_gives_weak_labels_and_what_is_no_intent_teaches_nothing(tmp_path: Path) -> None:
    from offline_jobs.engine.ledger import Ledger
    from offline_jobs.engine.work import jobs_folder, start
    from tests.doubles.recorded import settings_in
    from tests.doubles.toy_model import toy_model

    def mind(_model: str, messages: list[dict[str, str]]) -> str:
        asked = messages[-1]["content"].split("=== request\n")[1]
        return next((label for label, words in WORDS.items() if words.split()[0] in asked), "NONE")

    with toy_model(mind) as toy:
        backend = {"kind": "openai", "base_url": f"http://127.0.0.1:{toy.port}/v1", "models": ["toy"], "api_key": "x"}
        made = settings_in(tmp_path, backends={"toy": backend}, routing={"default": "toy"}, jobs={"judge": "toy"})
        prepared(made)
        bare: list[Any] = [DatasetRow(row.query) for row in dataset.find(made.data_folder, "harvest").read()]
        dataset.write(made.data_folder, "bare", [*bare, DatasetRow("nothing of that sort")], counts={}, query={})
        ledger = Ledger(jobs_folder(made))
        job = start(made, ledger, "train-classifier", {"dataset": "bare", "judge": 200})
        ledger.close()
    report = json.loads(job.report)
    assert (report["accepted"], report["labels"]) == (True, 160)


def test_without_an_embedding_model_the_job_says_so(settings: Settings) -> None:
    with pytest.raises(dataset.JobFailed, match="needs an embedding model"):
        open_embedder(settings)
