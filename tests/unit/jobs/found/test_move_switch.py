"""`foreword prompts move --adapt --switch`: a version for the new model, a growing share of it, and its end."""

import json
from itertools import count
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.contract_file import write_contract
from gateway.prompt.found.found_prompt import FoundPrompt, PromotedVersion
from gateway.prompt.found.store import change_found, found_path, put, read_found
from gateway.prompt.found.templates import newest_template
from gateway.settings.tables import Settings
from offline_jobs.engine.ledger import DONE
from tests.doubles.canary import LABELS, PROMPT, adopted, breaking, label, trial
from tests.doubles.recorded import BEGAN, stored
from tests.doubles.toy_model import Messages, toy_model
from tests.unit.jobs.found.test_move import moved, prepared
from tests.unit.jobs.found.test_optimise_found import WORDS, did

ROWS = 90
SWITCH = {"switch": True, "share": 0.2}


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline_jobs.found.traffic.time.time", lambda: 2_000_000_000.0)


def mind(model: str, messages: Messages) -> str:
    """`toy` and `big` know all labels. `wordy` says them alone only where it is told to say nothing else."""
    asked = messages[-1]["content"]
    answer = next(label for label, word in WORDS.items() if f"my {word}" in asked)
    said = any("nothing else" in message["content"] for message in messages)
    return f"This is about a {answer}, dear customer." if model == "wordy" and not said else answer


def sent(settings: Settings) -> PromotedVersion | None:
    return read_found(found_path(settings.data_folder)).prompts[0].spoken


def test_a_model_that_needs_another_text_gets_it_and_is_compared_on_rows_that_it_did_not_learn_from(
    tmp_path: Path,
) -> None:
    with toy_model(mind) as toy:
        settings = prepared(tmp_path, toy, ROWS)
        report = moved(settings, "wordy", adapt=True, **SWITCH)
        asked = [body["messages"][-1]["content"].split("\n\n")[0] for body in toy.asked if body["model"] == "toy"]
        chosen_by = [body["messages"][-1]["content"].split("\n\n")[0] for body in toy.asked if body["model"] == "wordy"]
    old, new = report["sides"]  # type: ignore[misc]
    assert str(report["adapted"]).startswith("adapted, version 3")
    assert (old["right"], new["right"], report["worse"]) == (1.0, 1.0, [])  # type: ignore[index]
    assert len(asked) == report["rows"] == 36
    # the last answers of the new model are those of the sealed test, of two versions, and of the comparison
    assert not set(asked) & set(chosen_by[: -3 * 36])
    spoken = sent(settings)
    assert spoken is not None
    assert (spoken.share, spoken.beneath, spoken.growth) == (0.2, 0, (0.25, 0.5, 1.0))
    template = newest_template(settings.data_folder, PROMPT.id)
    assert (template.version, template.model) == (spoken.version, "wordy")
    assert "nothing else" in str(template.messages)


def test_a_model_that_is_worse_gets_nothing(tmp_path: Path) -> None:
    with toy_model(mind) as toy:
        settings = prepared(tmp_path, toy, ROWS)
        report = moved(settings, "wordy", **SWITCH)
    assert report["switched"] == "not switched: the new model is worse with certainty"
    assert sent(settings) is None


def test_a_switch_without_adapting_sends_the_text_that_everybody_gets(tmp_path: Path) -> None:
    with toy_model(mind) as toy:
        settings = prepared(tmp_path, toy, ROWS)
        path = found_path(settings.data_folder)
        everybody = PromotedVersion(2, 1.0, BEGAN)
        change_found(path, lambda now: put(now, [replace(now.prompts[0], spoken=everybody)]))
        moved(settings, "big", **SWITCH)
        spoken = sent(settings)
        assert spoken is not None
        assert (spoken.version, spoken.beneath) == (3, 2)
        again = moved(settings, "half", seed=1, **SWITCH)
    assert "not switched" in str(again["switched"])
    assert sent(settings) == spoken


GROWING = PromotedVersion(2, 0.3, BEGAN, (0.5, 1.0), BEGAN)


def growing(settings: Settings, spoken: PromotedVersion = GROWING) -> FoundPrompt:
    prompt = replace(adopted(settings, 0.3), spoken=spoken)
    change_found(found_path(settings.data_folder), lambda now: put(now, [prompt]))
    write_contract(settings.data_folder, PROMPT.id, AnswerContract(labels=LABELS))
    return prompt


def watched(settings: Settings) -> str:
    job = did(settings, "watch")
    assert job.state == DONE, job.reason
    return str(json.loads(job.report)[0]["what"])


def test_a_share_grows_step_by_step_and_only_with_new_answers(settings: Settings) -> None:
    growing(settings)
    stored(settings, *trial(label, label, 60, 0.3, Random(1)))
    assert watched(settings) == "grown"
    spoken = sent(settings)
    assert spoken is not None
    assert (spoken.share, spoken.growth, spoken.since_s) == (0.5, (1.0,), BEGAN)
    assert watched(settings) == "kept waiting"  # the answers from before do not count again
    assert sent(settings) == spoken


def test_a_share_does_not_grow_with_few_answers(settings: Settings) -> None:
    growing(settings)
    stored(settings, *trial(label, label, 20, 0.3, Random(2)))
    assert watched(settings) == "kept waiting"


def test_a_share_does_not_grow_while_the_answers_look_worse(settings: Settings) -> None:
    numbers = count()

    def seldom(draw: Random) -> str:
        return "I cannot say." if next(numbers) % 14 == 0 else label(draw)

    prompt = growing(settings)
    stored(settings, *trial(seldom, label, 60, 0.3, Random(2), rated=0.0))
    assert watched(settings) == "kept waiting"
    assert sent(settings) == prompt.spoken


@pytest.mark.parametrize(("beneath", "left"), [(0, None), (1, 1)])
def test_a_take_back_ends_the_switch_and_everybody_gets_what_they_had(
    settings: Settings, beneath: int, left: int | None
) -> None:
    growing(settings, replace(GROWING, beneath=beneath))
    stored(settings, *trial(breaking(0.5), label, 100, 0.3, Random(3)))
    assert watched(settings) == "rolled back"
    spoken = sent(settings)
    assert (spoken.version if spoken else None) == left
    assert spoken is None or spoken.share == 1.0
