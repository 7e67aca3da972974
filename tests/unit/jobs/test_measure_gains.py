"""The job that gives a template whose text has no row a row, and the command that does the same by hand."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.prompt.policy.gains import gains_path, read_gains
from gateway.settings.tables import Settings
from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.ledger import DONE, Ledger, LedgerJob
from offline_jobs.engine.work import jobs_folder, start
from tests.doubles.recorded import settings_in
from tests.doubles.templates import source, write
from tests.doubles.toy_model import Messages, Toy, toy_model


def mind(_model: str, messages: Messages) -> str:
    """One sentence to who reminds it of its limits, else a long talk."""
    asked = messages[-1]["content"]
    return "It is short." if "keep to the limit" in asked else "One. Two. Three. " + "and more " * 30


@pytest.fixture
def toy() -> Iterator[Toy]:
    with toy_model(mind) as made:
        yield made


@pytest.fixture
def configured(tmp_path: Path, toy: Toy) -> Settings:
    body = "# user\n{{ query }}\n\nPlease keep to the limit.\n"
    write(tmp_path / "templates", "mine", source(body, id="summarise.en", intent="summarise"))
    backend = {"kind": "openai", "base_url": f"http://127.0.0.1:{toy.port}/v1", "models": ["toy"], "api_key": "x"}
    return settings_in(tmp_path, backends={"toy": backend}, routing={"default": "toy"})


def run(settings: Settings, calls: int = 200, **words: object) -> tuple[LedgerJob, dict[str, object]]:
    ledger = Ledger(jobs_folder(settings))
    try:
        job = start(settings, ledger, "measure-gains", words, budget=JobBudget(calls, 1_000_000, 0.0, 600.0))
    finally:
        ledger.close()
    assert job.state == DONE, job.reason
    return job, json.loads(job.report)


def test_a_text_without_a_row_is_measured_and_one_that_has_a_row_is_not_asked_again(
    configured: Settings, toy: Toy
) -> None:
    _, first = run(configured)

    (row,) = read_gains(gains_path(configured.data_folder)).values()
    assert (row.template, row.model, row.pairs, row.gain, row.verdict) == ("summarise.en@1", "toy", 20, 1.0, "helps")
    assert (first["scored"], first["left"], len(toy.asked)) == (20, 0, 40)

    _, second = run(configured)

    assert (second["scored"], len(toy.asked)) == (0, 40)


def test_a_budget_that_ends_leaves_pairs_for_the_next_run_which_pays_for_none_twice(
    configured: Settings, toy: Toy
) -> None:
    _, first = run(configured, calls=11)
    assert (first["scored"], first["left"], len(toy.asked)) == (5, 15, 10)

    _, second = run(configured, again=True)

    assert (second["scored"], second["left"], len(toy.asked)) == (20, 0, 40)


def test_a_changed_text_is_measured_anew(configured: Settings, toy: Toy) -> None:
    run(configured)
    body = "# user\n{{ query }}\n\nTake your time.\n"
    write(configured.root / "templates", "mine", source(body, id="summarise.en", intent="summarise", version=2))

    run(configured)

    rows = {row.template: row.verdict for row in read_gains(gains_path(configured.data_folder)).values()}
    assert rows == {"summarise.en@1": "helps", "summarise.en@2": "leave it"}
