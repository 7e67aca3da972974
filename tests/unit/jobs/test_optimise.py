"""A better template is found, proved on rows that the search never saw, and written; a no-op is not."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.prompt.library.library import load_library
from gateway.prompt.library.pointers import read_pointers
from gateway.settings.tables import Settings
from offline_jobs.datasets import dataset
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.ledger import CANCELLED, DONE, FAILED, SPENT, Ledger, LedgerJob
from offline_jobs.engine.work import go_on, jobs_folder, start
from offline_jobs.publish.winner import read_winner
from tests.doubles.ports import free_port
from tests.doubles.recorded import settings_in
from tests.doubles.templates import source, write
from tests.doubles.toy_model import Messages, Toy, toy_model

BUDGET = JobBudget(400, 1_000_000, 0.0, 600.0)
LABELS = ("refund", "delivery", "password")
WORDS = {"refund": "money", "delivery": "parcel", "password": "login"}


def rows(count: int = 90) -> list[DatasetRow]:
    made = [
        (label, f"case {number}: something about my {WORDS[label]}") for number in range(count // 3) for label in LABELS
    ]
    return [DatasetRow(text, wanted=label) for label, text in made]


def mind(_model: str, messages: Messages) -> str:
    """Knows the answer, and says it alone only where it is told the labels or shown examples."""
    asked = messages[-1]["content"]
    label = next((label for label, word in WORDS.items() if f"my {word}" in asked), "nothing")
    shown = len(messages) > 2 or "nothing else" in asked or "Output:" in asked
    return label if shown else f"This looks like it is about {label}, dear customer."


def stubborn(_model: str, _messages: Messages) -> str:
    return "refund"


@pytest.fixture
def toy() -> Iterator[Toy]:
    with toy_model(mind) as made:
        yield made


def prepared(folder: Path, toy: Toy, more: str = "", body: str = "# user\n{{ query }}\n", **jobs: object) -> Settings:
    backend = {
        "kind": "openai",
        "base_url": f"http://127.0.0.1:{toy.port}/v1",
        "models": ["toy", "critic"],
        "api_key": "x",
        # otherwise candidates that differ in these alone would be the same request
        "sampling": ["max_tokens", "temperature", "stop"],
    }
    made = settings_in(folder, backends={"toy": backend}, routing={"default": "toy"}, jobs={"parallel": 1, **jobs})
    write(folder / "templates", "refund", source(body, more=more))
    dataset.write(made.data_folder, "cases", rows(), counts={}, query={})
    return made


def optimised(settings: Settings, budget: JobBudget = BUDGET, **words: object) -> LedgerJob:
    ledger = Ledger(jobs_folder(settings))
    try:
        asked = {"template": "refund.en", "dataset": "cases", "choose": 12, "sealed": 24, **words}
        return start(settings, ledger, "optimise", asked, budget=budget)
    finally:
        ledger.close()


@pytest.mark.parametrize("engine", ["gepa", "climb"])
def test_a_template_that_shows_the_labels_wins_and_becomes_a_candidate(tmp_path: Path, toy: Toy, engine: str) -> None:
    settings = prepared(tmp_path, toy)
    job = optimised(settings, engine=engine)
    assert job.state == DONE, job.reason
    report = json.loads(job.report)
    assert (report["won"], report["start"], report["best"]) == ("refund.en@2", 0.0, 1.0)
    library, broken = load_library([tmp_path / "templates"])
    assert not broken
    made = library.get("refund.en", 2)
    assert made is not None
    assert (made.status, made.provenance.parent, made.provenance.run) == ("candidate", "refund.en@1", job.id)
    assert library.speaking["refund.en"].version == 1
    assert float(made.provenance.scores["p"]) < 0.05
    assert len(toy.asked) <= 400


def test_the_sealed_rows_are_asked_only_when_the_search_is_over(tmp_path: Path, toy: Toy) -> None:
    optimised(prepared(tmp_path, toy))
    asked = [body["messages"][-1]["content"].split("\n")[0] for body in toy.asked]
    from offline_jobs.datasets.splits import split

    sealed = {row.query for row in split(rows(), 0, 12, 24).sealed}
    assert set(asked[-48:]) == sealed and not sealed & set(asked[:-48])
    shown = [message["content"] for body in toy.asked for message in body["messages"][:-1]]
    assert not sealed & set(shown)


def test_a_model_that_no_prompt_helps_gets_no_new_template(tmp_path: Path) -> None:
    with toy_model(stubborn) as toy:
        settings = prepared(tmp_path, toy)
        job = optimised(settings)
    assert job.state == DONE, job.reason
    assert json.loads(job.report)["won"] == ""
    assert [file.name for file in (tmp_path / "templates").iterdir()] == ["refund.prompt.md"]


def test_nothing_is_promoted_where_nothing_may_be_changed(tmp_path: Path, toy: Toy) -> None:
    job = optimised(prepared(tmp_path, toy), rules=False)
    assert json.loads(job.report)["won"] == ""
    assert json.loads(job.report)["tried"] == 1


def test_the_budget_is_hard(tmp_path: Path, toy: Toy) -> None:
    job = optimised(prepared(tmp_path, toy), replace(BUDGET, calls=70))
    assert len(toy.asked) <= 70
    assert job.state == DONE, job.reason


@pytest.mark.parametrize("at", [1, 60, -70, -15])
def test_a_job_that_was_cut_off_asks_nothing_twice(
    tmp_path: Path, toy: Toy, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offline_jobs.engine.run.LOOK_EVERY_S", 0.0)
    (tmp_path / "whole").mkdir()
    whole = optimised(prepared(tmp_path / "whole", toy))
    asked, toy.asked = toy.asked, []

    (tmp_path / "cut").mkdir()
    settings = prepared(tmp_path / "cut", toy)
    ledger = Ledger(jobs_folder(settings))

    def dying(model: str, messages: Messages) -> str:
        if len(toy.asked) == at % len(asked):
            ledger.cancel(ledger.jobs(1)[0].id)
        return mind(model, messages)

    toy.mind = dying
    job = optimised(settings)
    assert job.state == CANCELLED
    assert len(toy.asked) == at % len(asked)

    again = go_on(settings, ledger, job)
    assert again.state == DONE, again.reason
    assert toy.asked == asked
    assert json.loads(again.report)["won"] == json.loads(whole.report)["won"] == "refund.en@2"
    ledger.close()


def test_what_every_row_answers_right_is_searched_no_further(tmp_path: Path, toy: Toy) -> None:
    job = optimised(prepared(tmp_path, toy), replace(BUDGET, calls=5000))
    lineage = json.loads((tmp_path / "data" / "jobs" / job.id / "lineage.json").read_text())
    assert len(toy.asked) < 200
    assert max(one["rows"] for one in lineage["tried"]) == 12
    assert {one["parent"] for one in lineage["tried"][1:]} == {lineage["tried"][0]["id"]}


def test_no_row_that_is_answered_to_learn_from_is_an_example(tmp_path: Path, toy: Toy) -> None:
    toy.mind = lambda model, messages: f"{mind(model, messages)}?"  # never quite right, so that the search goes on
    optimised(prepared(tmp_path, toy))
    asked = {body["messages"][-1]["content"].split("\n")[0] for body in toy.asked}
    shown = {message["content"] for body in toy.asked for message in body["messages"][:-1]}
    assert len(asked) > 12
    assert shown and not asked & shown


def test_the_rules_are_raced_and_the_best_of_them_is_where_the_critic_begins(tmp_path: Path) -> None:
    told: list[str] = []

    def thinking(model: str, messages: Messages) -> str:
        if model == "critic":
            told.append(messages[-1]["content"])
            return "I would rather chat."
        label = mind(model, messages)
        # only the line of labels helps, and not with each row
        return label if "nothing else" in messages[-1]["content"] and "3:" not in messages[-1]["content"] else "so so"

    with toy_model(thinking) as toy:
        settings = prepared(tmp_path, toy, critic="critic")
        job = optimised(settings)
    lineage = json.loads((settings.data_folder / "jobs" / job.id / "lineage.json").read_text())
    answered = {one["by"]: one["rows"] for one in lineage["tried"] if one["parent"] == lineage["tried"][0]["id"]}
    assert answered["rule: labels"] > 12 > answered["rule: step by step"] >= 3
    assert "Answer with one of these and nothing else" in told[0]
    # it said nothing usable three times, and is not asked a fourth time
    assert (len(told), lineage["critic_asked"]) == (3, 3)
    assert json.loads(job.report)["won"] == "refund.en@2"


def test_a_model_that_is_out_of_order_fails_the_job_and_is_no_verdict_on_any_template(tmp_path: Path, toy: Toy) -> None:
    nobody = Toy(mind)
    nobody.port = free_port()
    dead, settings = prepared(tmp_path, nobody), prepared(tmp_path, toy)
    ledger = Ledger(jobs_folder(settings))
    asked = {"template": "refund.en", "dataset": "cases", "choose": 12, "sealed": 24}
    job = start(dead, ledger, "optimise", asked, budget=BUDGET)
    assert (job.state, toy.asked) == (FAILED, [])
    assert "'toy' failed 8 times in a row" in job.reason and "jobs resume" in job.reason
    assert json.loads(go_on(settings, ledger, job).report)["won"] == "refund.en@2"
    ledger.close()


def test_a_critic_for_whom_no_call_is_left_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline_jobs.search.gepa_optimizer.MINIBATCH", 5)

    def thinking(model: str, messages: Messages) -> str:
        if model != "critic":
            return mind(model, messages)
        return f"Try this.\n<<<system\n>>>\n<<<user\n{{{{ query }}}} {'?' * len(toy.asked)}\n>>>"

    with toy_model(thinking) as toy:
        settings = prepared(tmp_path, toy, critic="critic")
        # 10 rows are sealed, one is to choose by and five are looked at: with those the room is used up
        job = optimised(settings, replace(BUDGET, calls=2 * 10 + 1 + 5), rules=False, examples="cases")
    assert job.state == SPENT, job.reason
    assert "of 26 calls" in job.reason and f"resume {job.id}" in job.reason
    assert len(toy.asked) == 1 + 5


@pytest.mark.parametrize(
    "limits",
    [{"calls": 60}, {"tokens": 3000}, {"money": 0.002}, {"seconds": 0.3}],
    ids=["calls", "tokens", "money", "minutes"],
)
def test_a_budget_that_runs_out_before_a_verdict_is_no_verdict_and_more_of_it_gets_one(
    tmp_path: Path, toy: Toy, limits: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offline_jobs.engine.run.LOOK_EVERY_S", 0.0)
    settings = prepared(tmp_path, toy, prices={"toy": {"prompt": 1.0, "completion": 1.0}})
    ledger = Ledger(jobs_folder(settings))
    slow = "seconds" in limits

    def answering(model: str, messages: Messages) -> str:
        time.sleep(0.02 * slow)
        return "so so" if "calls" in limits else mind(model, messages)

    toy.mind = answering
    job = optimised(settings, replace(BUDGET, **limits))
    assert (job.state, job.report) == (SPENT, ""), job.reason

    made = len(toy.asked)
    again = go_on(settings, ledger, ledger.allow(job.id, BUDGET))
    assert again.state == DONE, again.reason
    assert json.loads(again.report)["verdict"]
    assert len(toy.asked) == ledger.spent(job.id).calls > made  # nothing was asked twice
    ledger.close()


@pytest.mark.parametrize("at", [30, 62, 85])
def test_a_job_that_is_resumed_with_more_calls_goes_on_with_the_same_rows_and_reaches_a_verdict(
    tmp_path: Path, toy: Toy, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offline_jobs.engine.run.LOOK_EVERY_S", 0.0)
    settings = prepared(tmp_path, toy)
    ledger = Ledger(jobs_folder(settings))

    def dying(model: str, messages: Messages) -> str:
        if len(toy.asked) == at:
            ledger.cancel(ledger.jobs(1)[0].id)
        return mind(model, messages)

    toy.mind = dying
    job = optimised(settings, replace(BUDGET, calls=100), choose=30, sealed=60)
    assert (job.state, len(toy.asked)) == (CANCELLED, at)
    dataset.write(settings.data_folder, "cases", rows(45), counts={}, query={})  # a newer version of the same name

    again = go_on(settings, ledger, ledger.allow(job.id, replace(BUDGET, calls=400)))

    assert again.state == DONE, again.reason
    report = json.loads(again.report)
    assert (report["won"], report["sealed"]["pairs"]) == ("refund.en@2", 20)
    bodies = [json.dumps(body) for body in toy.asked]
    assert len(bodies) == len(set(bodies)) == ledger.spent(job.id).calls
    ledger.close()


def test_the_system_message_goes_only_for_a_gain_that_counts(tmp_path: Path) -> None:
    with toy_model(mind) as toy:
        settings = prepared(tmp_path, toy, body="# system\nBe kind to customers.\n# user\n{{ query }}\n")
        job = optimised(settings)
        assert json.loads(job.report)["won"] == "refund.en@2"
    winner = read_winner(settings.data_folder / "jobs" / job.id / "winner")
    assert winner.template.parts[0].source == "Be kind to customers."


def test_a_gain_no_better_than_one_constant_answer_is_called_form_only(tmp_path: Path) -> None:
    with toy_model(lambda model, messages: "refund" if mind(model, messages) in LABELS else "so so") as toy:
        settings = prepared(tmp_path, toy)
        report = json.loads(optimised(settings).report)
    assert report["won"] == "refund.en@2"
    assert report["commonest"] >= report["best"]
    assert "form only" in report["verdict"]


def test_a_critic_that_breaks_the_template_is_told_and_costs_no_answer(tmp_path: Path) -> None:
    told: list[str] = []

    def thinking(model: str, messages: Messages) -> str:
        if model != "critic":
            return mind(model, messages)
        told.append(messages[-1]["content"])
        if len(told) == 1:
            return "The slot is spelt wrongly.\n<<<system\n>>>\n<<<user\n{{ qeury }}\n>>>"
        return "It must know the labels.\n<<<system\n>>>\n<<<user\n{{ query }}\nSay one label and nothing else\n>>>"

    with toy_model(thinking) as toy:
        settings = prepared(tmp_path, toy, critic="critic")
        job = optimised(settings, rules=False, engine="climb")
        assert json.loads(job.report)["won"] == "refund.en@2"
        assert not any("qeury" in body["messages"][-1]["content"] for body in toy.asked if body["model"] == "toy")
    lineage = json.loads((settings.data_folder / "jobs" / job.id / "lineage.json").read_text())
    assert [(one["by"], one["why"]) for one in lineage["tried"]][1:3] == [
        ("critic", "The slot is spelt wrongly."),
        ("critic", "It must know the labels."),
    ]
    assert "no slot 'qeury' is declared" in lineage["tried"][1]["feedback"]


def test_frozen_parts_stay_as_they_are(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy, more="optimise: {components: [examples]}\n")
    job = optimised(settings)
    winner = read_winner(settings.data_folder / "jobs" / job.id / "winner")
    assert winner.template.parts[-1].source == "{{ query }}"
    assert len(winner.template.parts) > 2


def test_without_labels_a_judge_compares_and_a_place_it_prefers_counts_for_nothing(tmp_path: Path) -> None:
    def judging(model: str, messages: Messages) -> str:
        asked = messages[-1]["content"]
        if "Which is better?" not in asked:
            return mind(model, messages)
        first, second = asked.split("=== answer A\n")[1].split("=== answer B\n")
        return "A" if len(first.split("\n")[0]) < len(second.split("\n")[0]) else "B"

    with toy_model(judging) as toy:
        settings = prepared(tmp_path, toy, judge="critic")
        bare = [replace(row, wanted="") for row in rows()]
        dataset.write(settings.data_folder, "bare", bare, counts={}, query={})
        job = optimised(settings, replace(BUDGET, calls=900), dataset="bare", examples="cases")
        assert job.state == DONE, job.reason
        report = json.loads(job.report)
        assert (report["won"], report["start"], report["best"]) == ("refund.en@2", 0.5, 1.0)
        toy.mind = lambda model, messages: (
            "A" if "Which is better?" in messages[-1]["content"] else mind(model, messages)
        )
        biased = optimised(settings, replace(BUDGET, calls=900), dataset="bare", examples="cases")
        assert json.loads(biased.report)["won"] == ""


def test_with_auto_canary_a_winner_speaks_to_a_share_and_never_to_all(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy, auto="canary", share=0.1)
    optimised(settings)
    pointer = read_pointers(tmp_path / "templates")["refund.en"].pointer
    assert (pointer.canary, pointer.share, pointer.production) == (2, 0.1, 0)


def test_each_call_is_an_exchange_of_the_job(tmp_path: Path, toy: Toy) -> None:
    from gateway.records.database import Database, ExchangeFilter
    from gateway.records.locations import database_url

    settings = prepared(tmp_path, toy)
    job = optimised(settings)
    database = Database.open(database_url(settings))
    found = database.find(ExchangeFilter(limit=10_000))
    record = database.get(found[0].id)
    database.close()
    assert len(found) == len(toy.asked)
    assert record is not None
    assert (record.job, record.rewrite.template, record.key) == (job.id, "", "job")


def test_the_same_call_twice_at_once_is_one_call(tmp_path: Path, toy: Toy) -> None:
    from gateway.ask import Turn
    from gateway.exchange import Sampling
    from offline_jobs.engine.executor import Local
    from offline_jobs.engine.models import open_models
    from offline_jobs.engine.run import JobRun

    settings = prepared(tmp_path, toy, parallel=4)
    ledger = Ledger(jobs_folder(settings))
    run = JobRun(ledger.create("optimise", {}, BUDGET), settings, ledger, Local())
    with open_models(run) as loop:

        async def ask(text: str) -> str:
            return await loop.models.say([Turn("user", text)], "toy", Sampling(temperature=0.0))

        said = loop.all(ask, ["my money"] * 4 + ["my parcel"] * 4)
    assert len(set(said)) == 2
    assert (len(toy.asked), run.spent.calls) == (2, 2)
    ledger.close()


def test_a_template_of_no_version_is_named(tmp_path: Path, toy: Toy) -> None:
    job = optimised(prepared(tmp_path, toy), template="refund.en@two")
    assert (job.state, "there is no template 'refund.en@two'" in job.reason) == (FAILED, True)
