"""Rows from an application's own traffic, and a better version of its prompt, proved on rows that nobody saw."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.contract_file import write_contract
from gateway.prompt.found.frozen import refuse_changes, with_locks
from gateway.prompt.found.store import change_found, found_path, put, read_found
from gateway.prompt.found.templates import newest_template, read_template
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord
from gateway.settings.tables import Settings
from offline_jobs.datasets.dataset import find
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.ledger import DONE, FAILED, Ledger, LedgerJob
from offline_jobs.engine.work import jobs_folder, start
from offline_jobs.errors import JobFailed
from tests.doubles.canary import LABELS, PROMPT, SYSTEM, adopted, answered
from tests.doubles.recorded import settings_in, stored
from tests.doubles.toy_model import Messages, Toy, toy_model

BUDGET = JobBudget(600, 1_000_000, 0.0, 600.0)
WORDS = {"card": "chip", "loan": "interest", "transfer": "payment"}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def ticket(number: int) -> tuple[str, str]:
    label = LABELS[number % 3]
    return f"case {number}: {'abcdefghij'[number % 10] * (number % 7 + 3)} my {WORDS[label]} {number * 37}", label


def recorded(
    number: int, text: str = "", answer: str = "", *earlier: tuple[str, str], **fields: object
) -> ExchangeRecord:
    text = text or ticket(number)[0]
    talk = [{"role": role, "content": said} for role, said in (*earlier, ("user", text))]
    messages = [{"role": "system", "content": SYSTEM}, *talk]
    body = {"model": "toy", "messages": messages, "temperature": 0, "max_tokens": 12, "stop": ["\n\n"], "user": "anna"}
    turns = tuple(Turn(one["role"], one["content"], at) for at, one in enumerate(messages))
    raw = json.dumps({**body, "tools": TOOLS, "stream": True, **fields}).encode()
    return replace(answered(number, answer or "It is about money."), turns=turns, raw=raw, model="toy", upstream="toy")


def mind(_model: str, messages: Messages) -> str:
    """Knows the label, and says it alone only where it is shown examples or told to say nothing else."""
    asked = messages[-1]["content"]
    label = next((label for label, word in WORDS.items() if f"my {word}" in asked), "nothing")
    is_shown = any(message["role"] == "assistant" for message in messages) or "nothing else" in asked
    return label if is_shown else f"This is about {label}, dear customer."


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline_jobs.found.traffic.time.time", lambda: 2_000_000_000.0)


@pytest.fixture
def toy() -> Iterator[Toy]:
    with toy_model(mind) as made:
        yield made


def prepared(folder: Path, toy: Toy, **jobs: object) -> Settings:
    backend = {
        "kind": "openai",
        "base_url": f"http://127.0.0.1:{toy.port}/v1",
        "models": ["toy", "big"],
        "api_key": "x",
    }
    made = settings_in(
        folder,
        backends={"toy": backend},
        routing={"default": "toy"},
        jobs={"parallel": 1, **jobs},
        prices={"toy": {"input": 1.0, "output": 2.0, "cached": 0.1}},
    )
    adopted(made)
    return made


def did(settings: Settings, kind: str, **words: object) -> LedgerJob:
    ledger = Ledger(jobs_folder(settings))
    try:
        return start(settings, ledger, kind, words, budget=BUDGET)
    finally:
        ledger.close()


def harvested(
    settings: Settings, records: Sequence[ExchangeRecord], said: Sequence[Feedback] = (), **words: object
) -> list[DatasetRow]:
    stored(settings, records, said)
    job = did(settings, "harvest", prompt="triage", name="rows", since="2020-01-01", **words)
    assert job.state == DONE, job.reason
    return list(find(settings.data_folder, "rows").read())


def with_feedback(count: int) -> tuple[list[ExchangeRecord], list[Feedback]]:
    records = [recorded(number) for number in range(count)]
    return records, [Feedback(one.id, answer=ticket(number)[1]) for number, one in enumerate(records)]


def test_rows_have_parts_history_tools_and_sampling_and_nobodys_name(tmp_path: Path, toy: Toy) -> None:
    talk = recorded(1, "my chip, write to bo@bank.example", "card", ("user", "hello there"), ("assistant", "hi"))
    (row,) = harvested(prepared(tmp_path, toy), [talk], [Feedback(talk.id, score=1.0)])
    body = json.loads(row.request)
    assert row.parts[-1].startswith("my chip, write to ")
    assert "bo@bank.example" not in row.request
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    assert (body["temperature"], body["max_tokens"], body["stop"], body["tools"]) == (0, 12, ["\n\n"], TOOLS)
    assert not {"user", "stream"} & body.keys()
    assert (row.wanted, row.why) == ("card", ("feedback score",))


def test_long_requests_that_differ_in_a_part_are_no_duplicates(tmp_path: Path, toy: Toy) -> None:
    assert len(harvested(prepared(tmp_path, toy), *with_feedback(60))) > 50


def test_requests_of_other_keys_prompts_and_policies_are_no_rows(tmp_path: Path, toy: Toy) -> None:
    foreign = replace(recorded(1), key="other")
    hashed = replace(recorded(2), policy="hashed")
    other = replace(
        recorded(3), turns=(Turn("user", "hi", 0),), raw=b'{"model":"toy","messages":[{"role":"user","content":"hi"}]}'
    )
    broken = replace(recorded(4), raw=b"{")
    lost = replace(recorded(5), raw=b"")
    assert harvested(prepared(tmp_path, toy), [foreign, hashed, other, broken, lost]) == []


def test_a_user_who_corrects_the_answer_gives_the_right_one(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    write_contract(settings.data_folder, PROMPT.id, AnswerContract(labels=LABELS))
    first = ("user", ticket(0)[0]), ("assistant", "loan")
    right = recorded(1, "No, that should be card.", "card", *first)
    two = recorded(2, "No, card or transfer.", "card", ("user", ticket(1)[0]), ("assistant", "loan"))
    praise = recorded(3, "Thanks, my card is fine.", "card", ("user", ticket(2)[0]), ("assistant", "loan"))
    rows = harvested(settings, [right, two, praise])
    corrected = [row for row in rows if row.wanted]
    assert [(row.query, row.answer, row.wanted, row.why) for row in corrected] == [
        (ticket(0)[0], "loan", "card", ("correction",))
    ]


def test_a_stronger_model_answers_where_nobody_did_and_must_keep_the_contract(tmp_path: Path) -> None:
    def strong(model: str, messages: Messages) -> str:
        shown = [{"role": "assistant", "content": ""}, *messages]
        return mind(model, shown) if "chip" in messages[-1]["content"] else "Well."

    with toy_model(strong) as toy:
        settings = prepared(tmp_path, toy)
        write_contract(settings.data_folder, PROMPT.id, AnswerContract(labels=LABELS))
        rows = harvested(settings, [recorded(number) for number in range(30)], answers_by="big", answers=6)
    assert {body["model"] for body in toy.asked} == {"big"}
    assert len(toy.asked) == 6
    assert {(row.wanted, row.why) for row in rows if row.wanted} == {("card", ("model big",))}


def optimised(settings: Settings, **words: object) -> dict[str, object]:
    job = did(settings, "optimise", **{"prompt": "triage", "dataset": "rows", "choose": 12, "sealed": 24, **words})
    assert job.state == DONE, job.reason
    return dict(json.loads(job.report))


def test_a_better_version_is_found_and_waits_for_a_person(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    write_contract(settings.data_folder, PROMPT.id, AnswerContract(labels=LABELS))
    harvested(settings, *with_feedback(90))
    before = len(toy.asked)
    report = optimised(settings)
    assert (report["start"], report["best"], report["won"]) == (0.0, 1.0, "triage@3"), report
    assert report["broken"] == [24, 0]
    assert "commonest answer" in str(report["verdict"])
    template = newest_template(settings.data_folder, PROMPT.id)
    refuse_changes(template, read_template(settings.data_folder, PROMPT.id, 1), PROMPT)
    assert read_found(found_path(settings.data_folder)).prompts[0].spoken is None
    for body in toy.asked[before:]:
        assert (body["temperature"], body["max_tokens"], body["stop"], body["tools"]) == (0, 12, ["\n\n"], TOOLS)
        assert not body.get("stream")
        assert body["messages"][0]["content"].startswith(SYSTEM)
    assert report["bills"][1]["cost"] > report["bills"][0]["cost"] > 0  # type: ignore[index]


def test_sealed_rows_are_answered_last_and_shown_nowhere(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    harvested(settings, *with_feedback(90))
    before = len(toy.asked)
    optimised(settings)
    asked = [body["messages"][-1]["content"].split("\n\n")[0] for body in toy.asked[before:]]
    sealed = set(asked[-48:])
    assert len(sealed) == 24
    assert not sealed & set(asked[:-48])
    shown = [message["content"] for body in toy.asked[before:] for message in body["messages"][:-1]]
    assert not any(text in said for text in sealed for said in shown)


@pytest.mark.parametrize(("auto", "spoken"), [("canary", 2 + 1), ("off", None)])
def test_a_winner_goes_as_far_as_is_allowed(tmp_path: Path, toy: Toy, auto: str, spoken: int | None) -> None:
    settings = prepared(tmp_path, toy, auto=auto, share=0.2)
    harvested(settings, *with_feedback(90))
    optimised(settings)
    (prompt,) = read_found(found_path(settings.data_folder)).prompts
    assert (prompt.spoken.version if prompt.spoken else None) == spoken
    assert newest_template(settings.data_folder, PROMPT.id).version == (2 if auto == "off" else 3)


def test_a_model_that_nothing_helps_gets_no_version(tmp_path: Path) -> None:
    with toy_model(lambda _model, _messages: "card") as toy:
        settings = prepared(tmp_path, toy)
        harvested(settings, *with_feedback(90))
        report = optimised(settings)
    assert report["won"] == ""
    assert newest_template(settings.data_folder, PROMPT.id).version == 2


def test_a_version_that_is_right_more_often_and_breaks_the_contract_does_not_win(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    # the parser wants a sentence, and the model says the bare label where it is shown examples
    write_contract(settings.data_folder, PROMPT.id, AnswerContract(pattern=r"This is about \w+, dear customer\."))
    records, opinions = with_feedback(90)
    said = [replace(one, answer=f"This is about {one.answer}, dear customer.") for one in opinions]
    harvested(settings, records, said)
    report = optimised(settings)
    assert report["won"] == ""


def test_unlocked_text_is_left_out_only_for_a_gain_that_is_noticed(tmp_path: Path) -> None:
    with toy_model(lambda _model, messages: mind("", [{"role": "assistant", "content": ""}, *messages])) as toy:
        settings = prepared(tmp_path, toy)
        harvested(settings, *with_feedback(90))
        path = found_path(settings.data_folder)
        change_found(path, lambda now: put(now, [with_locks(now.prompts[0], [1], [])]))
        report = optimised(settings)
    assert report["won"] == "", report  # all answers are right already


def test_without_right_answers_the_job_says_what_to_do(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    harvested(settings, [recorded(number) for number in range(30)])
    job = did(settings, "optimise", prompt="triage", dataset="rows")
    assert (job.state, "harvest prompt=triage" in job.reason) == (FAILED, True)
    for both in ({}, {"prompt": "triage", "template": "x"}):
        with pytest.raises(JobFailed, match="prompt=NAME"):
            did(settings, "optimise", dataset="rows", **both)


MESSAGES = {
    "model": "toy",
    "max_tokens": 12,
    "system": [{"type": "text", "text": SYSTEM}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "my chip is gone"}]}],
    "stop_sequences": ["\n\n"],
    "temperature": 0,
    "metadata": {"user_id": "anna"},
    "stream": True,
}
RESPONSES = {
    "model": "toy",
    "max_output_tokens": 12,
    "instructions": SYSTEM,
    "input": "my chip is gone",
    "temperature": 0,
    "store": False,
    "user": "anna",
}


@pytest.mark.parametrize(("endpoint", "body"), [("messages", MESSAGES), ("responses", RESPONSES)])
def test_rows_of_other_endpoints_become_chat_completions(
    tmp_path: Path, toy: Toy, endpoint: str, body: dict[str, object]
) -> None:
    settings = prepared(tmp_path, toy)
    path = found_path(settings.data_folder)
    change_found(path, lambda now: put(now, [replace(now.prompts[0], endpoint=endpoint)]))
    here = replace(recorded(1, "my chip is gone"), endpoint=endpoint, raw=json.dumps(body).encode())
    elsewhere = recorded(2, "my chip is lost")
    (row,) = harvested(settings, [here, elsewhere], [Feedback(here.id, answer="card")])
    assert (row.parts, row.wanted) == (("my chip is gone",), "card")
    request = json.loads(row.request)
    assert request["messages"][-1]["content"] in ("my chip is gone", [{"type": "text", "text": "my chip is gone"}])
    assert (request["max_tokens"], request["temperature"], request["model"]) == (12, 0, "toy")
    assert not {"user", "stream", "stream_options", "metadata", "store", "system", "input"} & request.keys()


def test_a_response_in_a_stored_conversation_is_no_row(tmp_path: Path, toy: Toy) -> None:
    settings = prepared(tmp_path, toy)
    path = found_path(settings.data_folder)
    change_found(path, lambda now: put(now, [replace(now.prompts[0], endpoint="responses")]))
    body = {**RESPONSES, "previous_response_id": "resp_1"}
    later = replace(recorded(1), endpoint="responses", raw=json.dumps(body).encode())
    assert harvested(settings, [later]) == []
