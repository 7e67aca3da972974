"""Another model for a found prompt: both answer the same recorded requests, and nothing changes."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from gateway.cli.main import main
from gateway.exchange import Target
from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.contract_file import write_contract
from gateway.prompt.found.store import found_path
from gateway.settings.read import load
from gateway.settings.tables import Settings
from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.ledger import DONE, FAILED, Ledger
from offline_jobs.engine.work import go_on, jobs_folder, start
from offline_jobs.found.move import MovePromptOptions, estimate
from offline_jobs.found.move_report import report_text, switch_text
from tests.doubles.canary import LABELS, PROMPT, adopted
from tests.doubles.recorded import stored
from tests.doubles.toy_model import Messages, Toy, toy_model
from tests.unit.jobs.found.test_optimise_found import BUDGET, TOOLS, WORDS, did, recorded, with_feedback

ROWS = 60
CONFIG = """
[data]
folder = "data"
[routing]
default = "toy"
[jobs]
parallel = 1
[backends.toy]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["toy", "big", "worse", "wordy", "half"]
api_key = "x"
[prices.toy]
input = 1.0
output = 2.0
[prices.wordy]
input = 4.0
output = 8.0
"""


def mind(model: str, messages: Messages) -> str:
    """`toy` and `big` know all labels; `worse` knows no loan; `wordy` breaks the contract, `half` every other time."""
    asked = messages[-1]["content"]
    label = next(label for label, word in WORDS.items() if f"my {word}" in asked)
    if model == "worse":
        return "card" if label == "loan" else label
    is_wordy = model == "wordy" or (model == "half" and int(asked.split()[1].rstrip(":")) % 2 == 0)
    return f"I think that this is about a {label}, dear customer." if is_wordy else label


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline_jobs.found.traffic.time.time", lambda: 2_000_000_000.0)


@pytest.fixture
def toy() -> Iterator[Toy]:
    with toy_model(mind) as made:
        yield made


def prepared(folder: Path, toy: Toy, rows: int = ROWS) -> Settings:
    (folder / "config.toml").write_text(CONFIG.format(port=toy.port))
    settings = load(folder / "config.toml")
    adopted(settings)
    write_contract(settings.data_folder, PROMPT.id, AnswerContract(labels=LABELS))
    stored(settings, *with_feedback(rows))
    return settings


def moved(settings: Settings, to: str, **words: object) -> dict[str, object]:
    job = did(settings, "move-prompt", prompt="triage", to=to, since="2020-01-01", **words)
    assert job.state == DONE, job.reason
    report_text(job.report)
    return dict(json.loads(job.report))


def test_a_model_that_does_as_well_is_told_so_and_both_got_the_recorded_requests(tmp_path: Path, toy: Toy) -> None:
    report = moved(prepared(tmp_path, toy), "big")
    assert report["worse"] == []
    assert str(report["verdict"]).startswith("no noticeable loss: below 0.05")
    asked = {model: [body for body in toy.asked if body["model"] == model] for model in ("toy", "big")}
    assert len(asked["toy"]) == len(asked["big"]) == ROWS
    for old, new in zip(asked["toy"], asked["big"], strict=True):
        assert {**old, "model": ""} == {**new, "model": ""}
        assert (new["temperature"], new["max_tokens"], new["stop"], new["tools"]) == (0, 12, ["\n\n"], TOOLS)
        assert "user" not in new


def test_a_model_that_is_right_less_often_is_worse_with_certainty(tmp_path: Path, toy: Toy) -> None:
    report = moved(prepared(tmp_path, toy), "worse")
    old, new = report["sides"]  # type: ignore[misc]
    assert (old["right"], round(new["right"], 2), new["broken"]) == (1.0, 0.67, 0)  # type: ignore[index]
    assert report["worse"] == ["it is right less often"]
    right = report["differences"]["right"]  # type: ignore[index]
    assert right["low"] < -1 / 3 < right["high"] < 0


@pytest.mark.parametrize(("model", "broken"), [("wordy", 60), ("half", 30)])
def test_a_model_that_breaks_the_contract_is_worse_with_certainty(
    tmp_path: Path, toy: Toy, model: str, broken: int
) -> None:
    report = moved(prepared(tmp_path, toy), model)
    assert report["sides"][1]["broken"] == broken  # type: ignore[index]
    assert "it breaks the answer contract more often" in report["worse"]  # type: ignore[operator]


def test_cost_is_at_the_prices_and_unknown_without_one(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    old, new = moved(settings, "wordy")["sides"]  # type: ignore[misc]
    expected = (4 * new["prompt_tokens"] + 8 * new["completion_tokens"]) / 1e6  # type: ignore[index]
    assert new["cost"] == pytest.approx(expected)  # type: ignore[index]
    assert old["cost"] == pytest.approx((old["prompt_tokens"] + 2) / 1e6)  # type: ignore[index]
    report = moved(settings, "big")
    assert report["sides"][1]["cost"] is None  # type: ignore[index]
    assert report["differences"]["cost"] is None  # type: ignore[index]
    assert "no price" in report_text(json.dumps(report))


def test_few_rows_settle_nothing(tmp_path: Path, toy: Toy) -> None:
    report = moved(prepared(tmp_path, toy), "big", rows=12)
    assert (report["rows"], report["worse"]) == (12, [])
    assert str(report["verdict"]).startswith("too few rows to tell")


def test_without_feedback_and_contract_no_model_is_called_as_good(tmp_path: Path, toy: Toy) -> None:
    (tmp_path / "config.toml").write_text(CONFIG.format(port=toy.port))
    settings = load(tmp_path / "config.toml")
    adopted(settings)
    stored(settings, [recorded(number) for number in range(ROWS)])
    report = moved(settings, "big")
    assert report["rows_with_right_answers"] == 0
    assert str(report["verdict"]).startswith("nothing tells")
    assert "learn-contract prompt=triage" in report_text(json.dumps(report))


def test_nothing_changes_for_the_application(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    folder = settings.data_folder / "found"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    config = (tmp_path / "config.toml").read_bytes()
    moved(settings, "big")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert (tmp_path / "config.toml").read_bytes() == config
    assert found_path(settings.data_folder) in before


def test_the_printed_configuration_gives_the_new_model_its_share(tmp_path: Path, toy: Toy) -> None:
    from gateway.assembly.assemble import assemble

    settings = prepared(tmp_path, toy)
    report = moved(settings, "big", share=0.25)
    config = tmp_path / "config.toml"
    config.write_text(config.read_text() + str(report["switch"]))
    changed = load(config)
    assert changed.models["toy"].shares == {"big": 0.25}
    routes = assemble(changed).routes
    given = sum(routes.shared("toy", f"conversation {number}") == "big" for number in range(1000))
    assert 200 < given < 300
    again = moved(changed, "half")
    assert "shares = {big = 0.25, half = 0.05}" in str(again["switch"])


def test_a_job_that_ran_out_of_calls_asks_nothing_twice_and_keeps_its_latencies(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    words = {"prompt": "triage", "to": "half", "since": "2020-01-01"}
    tight = replace(BUDGET, tokens=1500)
    ledger = Ledger(jobs_folder(settings))
    try:
        job = start(settings, ledger, "move-prompt", words, budget=tight)
        asked = len(toy.asked)
        assert job.state != DONE
        assert 0 < asked < 2 * ROWS
        job = go_on(settings, ledger, ledger.allow(job.id, BUDGET))
    finally:
        ledger.close()
    assert job.state == DONE, job.reason
    assert len(toy.asked) == 2 * ROWS
    assert json.loads(job.report)["sides"][0]["median_ms"] > 0


def test_the_budget_limits_the_rows(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    ledger = Ledger(jobs_folder(settings))
    try:
        words = {"prompt": "triage", "to": "big", "since": "2020-01-01"}
        job = start(settings, ledger, "move-prompt", words, budget=JobBudget(20, 1_000_000, 0.0, 60.0))
    finally:
        ledger.close()
    assert (job.state, json.loads(job.report)["rows"], len(toy.asked)) == (DONE, 10, 20)


@pytest.mark.parametrize(
    ("words", "said"),
    [({"to": "nobody"}, "no backend offers"), ({"to": "toy"}, "already"), ({"to": "big", "since": "1d"}, "earlier")],
)
def test_a_mistake_costs_no_call(tmp_path: Path, toy: Toy, words: dict[str, str], said: str) -> None:
    settings = prepared(tmp_path, toy)
    job = did(settings, "move-prompt", **{"prompt": "triage", "since": "2020-01-01", **words})
    assert (job.state, said in job.reason, toy.asked) == (FAILED, True, []), job.reason


def test_the_quote_bounds_what_is_spent(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    quote = estimate(settings, MovePromptOptions("triage", "wordy", since="2020-01-01"))
    assert toy.asked == []
    sides = moved(settings, "wordy")["sides"]
    spent = sum(ROWS * side["cost"] for side in sides)  # type: ignore[attr-defined]
    assert quote.calls == len(toy.asked) == 2 * ROWS
    assert 0 < spent <= quote.money


def test_the_command_quotes_and_compares(tmp_path: Path, toy: Toy) -> None:
    prepared(tmp_path, toy)
    words = ["prompts", "move", "triage", "--to", "worse", "--since", "2020-01-01"]
    config = ["--config", str(tmp_path / "config.toml")]
    quote = CliRunner().invoke(main, [*words, "--dry-run", *config])
    assert quote.exit_code == 0, quote.output
    assert "at most  120 calls" in quote.output
    assert toy.asked == []
    result = CliRunner().invoke(main, [*words, *config])
    assert result.exit_code == 0, result.output
    assert "worse with certainty: it is right less often" in result.output
    assert "shares = {worse = 0.05}" in result.output
    lost = CliRunner().invoke(main, ["prompts", "move", "nothing", "--to", "big", *config])
    assert lost.exit_code == 1
    assert "nothing" in lost.output


def test_the_configuration_that_a_report_shows_is_toml_whatever_the_names_are(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[backends.m]\nkind = "scripted"\nname = "m"\n')
    names = 'a "quoted" \N{GRINNING FACE}\\model\x7f', "größe/größer"
    text = switch_text(load(tmp_path / "config.toml"), names[0], Target("m", names[1]), names[1], 0.1)
    read = tomllib.loads(text)
    assert read["models"][names[0]] == {"backend": "m", "upstream": names[1], "shares": {names[1]: 0.1}}


def test_a_report_has_no_control_characters_of_the_terminal(tmp_path: Path, toy: Toy) -> None:
    report = moved(prepared(tmp_path, toy), "big", rows=12)
    shown = report_text(json.dumps({**report, "problem": "no\x1b[2J such\nmodel", "prompt": "tri\x1bage"}))
    assert "\x1b" not in shown
    assert "no answer, most often: no\ufffd[2J such\ufffdmodel" in shown
