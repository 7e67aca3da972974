"""The canary of a found prompt: what takes it back, and what does not."""

from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from gateway.exchange import Arm
from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.contract_file import contract_path, read_contract, write_contract
from gateway.prompt.found.store import change_found, found_path, put, read_found
from gateway.records.feedback import Feedback
from gateway.settings.tables import Settings
from offline_jobs.engine.ledger import DONE, FAILED, LedgerJob
from offline_jobs.publish.decisions import decisions
from tests.doubles.canary import LABELS, PROMPT, adopted, answered, breaking, label, trial
from tests.doubles.recorded import stored
from tests.unit.jobs.discover.test_examples import Run

CONTRACT = AnswerContract(labels=LABELS)


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The records of the tests have times in the future."""
    monkeypatch.setattr("offline_jobs.found.traffic.time.time", lambda: 2_000_000_000.0)


def spoken(settings: Settings) -> object:
    (prompt,) = read_found(found_path(settings.data_folder)).prompts
    return prompt.spoken


def verdict(job: LedgerJob) -> tuple[str, str]:
    assert job.state == DONE, job.reason
    (found,) = msgspec.json.decode(job.report)
    return found["what"], found["reason"]


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_a_canary_that_breaks_the_contract_is_taken_back_though_people_like_it(
    settings: Settings, run: Run, share: float
) -> None:
    adopted(settings, share)
    write_contract(settings.data_folder, PROMPT.id, CONTRACT)
    stored(settings, *trial(breaking(0.1), label, 200, share, Random(1)))
    what, reason = verdict(run("watch"))
    assert what == "rolled back"
    assert "breaks the answer contract more often" in reason
    assert spoken(settings) is None
    assert [one.template for one in decisions(settings.data_folder)] == ["found:triage"]


def test_a_canary_that_breaks_it_no_more_often_stays(settings: Settings, run: Run) -> None:
    before = adopted(settings, 0.3)
    write_contract(settings.data_folder, PROMPT.id, CONTRACT)
    stored(settings, *trial(breaking(0.1), breaking(0.1), 150, 0.3, Random(2)))
    assert verdict(run("watch"))[0] == "kept waiting"
    assert spoken(settings) == before.spoken


def test_answers_before_the_trial_and_of_other_versions_do_not_count(settings: Settings, run: Run) -> None:
    prompt = adopted(settings, 0.3)
    write_contract(settings.data_folder, PROMPT.id, CONTRACT)
    records, _ = trial(breaking(1.0), label, 50, 0.3, Random(3))
    others = [replace(one, recognised="p-9@1") for one in records[:20]]
    older = [replace(one, rewrite=replace(one.rewrite, version=3)) for one in records[20:40]]
    early = [replace(one, time_s=one.time_s - 1e6) for one in records[40:60]]
    stored(settings, [*others, *older, *early])
    assert "0 of 200" in verdict(run("watch"))[1]
    assert spoken(settings) == prompt.spoken


def test_a_new_name_keeps_the_trial(settings: Settings, run: Run) -> None:
    prompt = adopted(settings, 0.3)
    write_contract(settings.data_folder, PROMPT.id, CONTRACT)
    stored(settings, *trial(breaking(0.3), label, 100, 0.3, Random(4)))
    change_found(found_path(settings.data_folder), lambda now: put(now, [replace(prompt, name="tickets")]))
    assert verdict(run("watch"))[0] == "rolled back"


def test_worse_feedback_is_enough_without_a_contract(settings: Settings, run: Run) -> None:
    adopted(settings, 0.5)
    records, opinions = trial(label, label, 150, 0.5, Random(5))
    stored(settings, records, [msgspec.structs.replace(one, score=1 - (one.score or 0)) for one in opinions])
    what, reason = verdict(run("watch"))
    assert (what, "it is worse" in reason) == ("rolled back", True)


def test_a_broken_contract_file_lets_no_canary_take_over(settings: Settings, run: Run) -> None:
    adopted(settings, 0.5)
    contract_path(settings.data_folder, PROMPT.id).write_text('{"lables": ["card"]}')
    stored(settings, *trial(label, label, 250, 0.5, Random(6)))
    what, reason = verdict(run("watch"))
    assert (what, "lables" in reason) == ("kept waiting", True)


def test_the_job_learns_from_answers_to_the_applications_own_text(settings: Settings, run: Run) -> None:
    adopted(settings)
    own = [answered(number, LABELS[number % 3]) for number in range(150)]
    changed = [answered(500 + number, "other", Arm.CANARY) for number in range(100)]
    failed = [replace(answered(700 + number, "error"), status=500) for number in range(100)]
    foreign = [replace(answered(900 + number, "foreign"), key="another") for number in range(100)]
    hashed = [replace(answered(1100 + number, "hashed"), policy="hashed") for number in range(100)]
    stored(settings, [*own, *changed, *failed, *foreign, *hashed])
    job = run("learn-contract", prompt="triage", since="2020-01-01")
    assert job.state == DONE, job.reason
    contract = read_contract(settings.data_folder, PROMPT.id)
    assert contract is not None
    assert (contract.labels, contract.answers) == (LABELS, 150)


def test_a_contract_of_a_person_is_kept(settings: Settings, run: Run) -> None:
    adopted(settings)
    stored(settings, [answered(number, LABELS[number % 3]) for number in range(150)])
    own = AnswerContract(labels=("a", "b"))
    write_contract(settings.data_folder, PROMPT.id, own)
    assert "kept: a person" in run("learn-contract", prompt="triage", since="2020-01-01").report
    assert read_contract(settings.data_folder, PROMPT.id) == own
    run("learn-contract", prompt="triage", since="2020-01-01", again=True)
    learned = read_contract(settings.data_folder, PROMPT.id)
    assert learned is not None
    assert learned.labels == LABELS


def test_a_broken_file_is_not_replaced(settings: Settings, run: Run) -> None:
    adopted(settings)
    path = contract_path(settings.data_folder, PROMPT.id)
    path.write_text("{")
    job = run("learn-contract", prompt="triage", since="2020-01-01")
    assert (job.state, str(path) in job.reason) == (FAILED, True)
    assert path.read_text() == "{"


def test_right_answers_of_people_count_where_the_models_own_were_cut_off(settings: Settings, run: Run) -> None:
    adopted(settings)
    records = [answered(number, "I am sorry to hear that your card") for number in range(90)]
    cut = [replace(one, answer=replace(one.answer, finish="length")) for one in records]
    stored(settings, cut, [Feedback(one.id, answer=LABELS[number % 3]) for number, one in enumerate(cut)])
    job = run("learn-contract", prompt="triage", since="2020-01-01")
    assert job.state == DONE, job.reason
    contract = read_contract(settings.data_folder, PROMPT.id)
    assert contract is not None
    assert contract.labels == LABELS


def test_the_models_own_answers_that_were_cut_off_settle_nothing(settings: Settings, run: Run) -> None:
    adopted(settings)
    records = [answered(number, LABELS[number % 3]) for number in range(90)]
    stored(settings, [replace(one, answer=replace(one.answer, finish="length")) for one in records])
    run("learn-contract", prompt="triage", since="2020-01-01")
    assert read_contract(settings.data_folder, PROMPT.id) is None
