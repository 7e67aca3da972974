"""The job `found-examples`: which requests become worked examples of an application's own prompt."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.prompt.found.adopt import identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromptState
from gateway.prompt.found.store import change_found, found_path, put, read_found
from gateway.prompt.found.templates import newest_template, write_template
from gateway.records.feedback import Feedback
from gateway.settings.tables import Settings
from offline_jobs.discover.examples import WorkedExample, choose
from offline_jobs.engine.ledger import DONE, FAILED, LedgerJob
from tests.doubles.application import SYSTEM, requests, tickets
from tests.doubles.recorded import stored

Run = Callable[..., LedgerJob]
ALL = {"since": "2020-01-01"}


@pytest.fixture
def prompt(settings: Settings, run: Run) -> FoundPrompt:
    stored(settings, requests(tickets(20), system=SYSTEM))
    run("discover", since="2020-01-01", until="2040-01-01")
    (found,) = read_found(found_path(settings.data_folder)).prompts
    write_template(settings.data_folder, identity(found))
    change_found(
        found_path(settings.data_folder),
        lambda content: put(content, [replace(found, name="triage", state=PromptState.ADOPTED)]),
    )
    return found


def feedback(settings: Settings, *opinions: Feedback) -> None:
    stored(settings, [], opinions)


def test_right_answers_become_turns_before_the_conversation(
    settings: Settings, run: Run, prompt: FoundPrompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offline_jobs.discover.examples.time.time", lambda: 2_000_000_000.0)
    feedback(
        settings,
        Feedback("ex-0000000", answer="card"),
        Feedback("ex-0000001", answer="transfer"),
        Feedback("ex-0000002", score=0.0),
    )
    job = run("found-examples", prompt="triage", **ALL)
    assert job.state == DONE, job.reason
    template = newest_template(settings.data_folder, prompt.id)
    assert template.version == 2
    assert [message.role for message in template.messages] == [
        "system",
        *["user", "assistant"] * 2,
        "history",
        "user",
    ]
    shown = template.render({"part1": "new"})
    assert shown[0] == ("system", SYSTEM)
    assert {shown[2][1], shown[4][1]} == {"card", "transfer"}
    assert shown[-1] == ("user", "new")


def test_without_a_right_answer_there_is_no_version(
    settings: Settings, run: Run, prompt: FoundPrompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offline_jobs.discover.examples.time.time", lambda: 2_000_000_000.0)
    other = requests(["my card is gone"], system="You are another application.", first=500)
    talk = [
        replace(one, id="ex-talk", turns=(*one.turns, Turn("assistant", "x", 2), Turn("user", "y", 3))) for one in other
    ]
    stored(settings, [*other, *talk], [Feedback("ex-0000500", answer="card"), Feedback("ex-talk", answer="card")])
    feedback(settings, Feedback("ex-0000000", answer="write to anna@bank.example"))
    job = run("found-examples", prompt="triage", **ALL)
    assert (job.state, "no request with a right answer" in job.reason) == (FAILED, True)
    assert newest_template(settings.data_folder, prompt.id).version == 1


def test_every_answer_has_its_examples() -> None:
    rows = [WorkedExample(f"ticket {n}", "card" if n % 10 else "loan") for n in range(100)]
    chosen = choose(rows, 6)
    assert sorted(row.answer for row in chosen) == ["card"] * 3 + ["loan"] * 3
    assert len({row.message for row in chosen}) == 6
