"""Answer contracts: what recorded answers settle, and what they leave open."""

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from gateway.ports import Answer, ToolCall
from gateway.prompt.found.contract import AnswerContract, breach
from offline_jobs.found.learn import SeenAnswer, contract_of
from offline_jobs.found.settled import SETTLED, alternatives

LABELS = ("card", "loan", "transfer")


def seen(texts: Sequence[str], requests: Sequence[str] = (), **marks: bool) -> list[SeenAnswer]:
    asked = requests or [""] * len(texts)
    return [SeenAnswer(Answer(text, "stop"), request, **marks) for text, request in zip(texts, asked, strict=True)]


def learn(texts: Sequence[str]) -> AnswerContract:
    return contract_of(seen(texts))


def record(number: int) -> dict[str, Any]:
    draw = Random(number)
    made: dict[str, Any] = {
        "label": draw.choice(LABELS),
        "sure": draw.random(),
        "who": {"name": f"Person {draw.random()}", "since": f"2026-0{draw.randint(1, 9)}-1{draw.randint(0, 9)}"},
        "items": [{"id": draw.randint(1, 999), "paid": draw.random() < 0.5} for _ in range(draw.randint(1, 4))],
        "note": None if number % 3 else "late",
    }
    if number % 2:
        made["extra"] = number
    return made


RECORDS = [record(number) for number in range(300)]


def broken(value: Any, contract: AnswerContract) -> bool:
    return bool(breach(contract, Answer(json.dumps(value), "stop")))


def required_paths(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield (*at, name)
        yield from required_paths(each, (*at, name))


def changed(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    copy = deepcopy(value)
    place = copy
    for step in path[:-1]:
        place = place[step]
    if new is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return copy


def test_json_is_known_by_its_keys_and_types() -> None:
    contract = learn([json.dumps(one) for one in RECORDS])
    schema = contract.json_schema
    assert schema is not None
    assert schema["required"] == ["items", "label", "note", "sure", "who"]
    assert schema["properties"]["extra"] == {"type": "integer"}
    assert schema["properties"]["label"]["enum"] == ["card", "loan", "transfer"]
    assert schema["properties"]["note"]["type"] == ["null", "string"]
    assert schema["properties"]["who"]["properties"]["since"]["pattern"] == r"^(?:\d+\-\d{2,}\-\d+)$"
    assert (contract.fence, contract.keeps, contract.answers) == ("never", 1.0, 300)


def test_every_key_that_is_lost_and_every_type_that_changes_breaks_the_contract() -> None:
    contract = learn([json.dumps(one) for one in RECORDS])
    whole = RECORDS[1]
    assert not broken(whole, contract)
    for path in required_paths(whole):
        optional = path == ("extra",) or isinstance(path[-1], int)
        assert broken(changed(whole, path, ...), contract) is not optional or path[-1] == 0, path
        assert broken(changed(whole, path, [[]]), contract), path
        assert broken(changed(whole, path, None), contract) is (path != ("note",)), path


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_cut_json_breaks_the_contract(cut: int) -> None:
    contract = learn([json.dumps(one) for one in RECORDS])
    text = json.dumps(RECORDS[0])
    assert breach(contract, Answer(text[:-cut], "stop"))
    assert breach(contract, Answer(text, "length")) == "it was cut off"
    assert breach(contract, Answer("", "stop"))


def test_new_keys_are_allowed_and_a_fence_is_not() -> None:
    contract = learn([json.dumps(one) for one in RECORDS])
    assert not broken({**RECORDS[0], "new": 1}, contract)
    assert breach(contract, Answer(f"```json\n{json.dumps(RECORDS[0])}\n```", "stop"))
    fenced = learn([f"```json\n{json.dumps(one)}\n```" for one in RECORDS])
    assert fenced.fence == "always"


@pytest.mark.parametrize("count", [0, 1, 10, SETTLED - 1])
def test_few_answers_settle_nothing(count: int) -> None:
    assert learn([json.dumps(record(number)) for number in range(count)]).is_empty
    assert learn([LABELS[number % 3] for number in range(count)]).is_empty


def test_labels_are_a_closed_set_only_after_a_while_without_a_new_one() -> None:
    texts = [LABELS[number % 2] for number in range(200)]
    assert learn(texts).labels == ("card", "loan")
    assert learn([*texts, *["transfer"] * 10]).labels == ()
    assert learn([*texts, *["transfer"] * 10, *texts]).labels == LABELS


def test_a_label_that_occurs_seldom_is_allowed_and_a_sentence_that_does_is_not() -> None:
    texts = [LABELS[number % 2] for number in range(200)]
    assert learn([*texts, "transfer", "transfer"]).labels == LABELS
    assert learn([*texts, "It is a card.", "It is a card."]).labels == ("card", "loan")


def test_a_few_answers_out_of_form_do_not_hide_the_labels() -> None:
    texts = [
        LABELS[number % 3] if number % 50 else f"I think that this is about case {number}." for number in range(300)
    ]
    contract = learn(texts)
    assert contract.labels == LABELS
    assert contract.keeps == pytest.approx(0.98)
    assert breach(contract, Answer("Card", "stop")) == "it is none of the labels"
    assert not breach(contract, Answer(" card\n", "stop"))


def test_a_rare_label_that_the_prompt_lists_is_a_label() -> None:
    texts = [*(LABELS[number % 2] for number in range(200)), "transfer", *(LABELS[number % 2] for number in range(100))]
    assert contract_of(seen(texts), "Answer with card, loan or transfer.").labels == LABELS
    assert contract_of(seen(texts), "Answer with one label.").labels == ("card", "loan")


def test_free_text_has_no_labels_no_pattern_and_no_json() -> None:
    draw = Random(1)
    words = ("the", "of", "and", "to", "in", "is", "that", "it", "for", "was", "on", "are", "as", "with", "his", "at")
    contract = learn([" ".join(draw.choices(words, k=draw.randint(3, 40))) for _ in range(400)])
    assert (contract.json_schema, contract.labels, contract.pattern, contract.language) == (None, (), "", "")


@pytest.mark.parametrize(
    ("form", "right", "wrong"),
    [
        ("TICKET-{}", "TICKET-7", "Ticket 7"),
        ("{}", "12", "twelve"),
        ("Answer: it is {} words long", "Answer: it is 3", "It is 3"),
        ("{} EUR", "5 EUR", "5 USD"),
    ],
)
def test_a_form_that_all_answers_share_is_a_pattern(form: str, right: str, wrong: str) -> None:
    contract = learn([form.format(number * 37 % 1000) for number in range(120)])
    assert contract.pattern
    assert not breach(contract, Answer(form.format(5), "stop"))
    assert breach(contract, Answer(wrong, "stop"))


def test_a_language_is_claimed_only_if_requests_in_others_were_answered_in_it() -> None:
    german = "Die Karte wurde gestern gesperrt und eine neue ist unterwegs zu Ihnen, Fall {}."
    english = "My card was stolen yesterday and I would like to have a new one, case {}."
    answers = [german.format(number) for number in range(200)]
    same = contract_of(seen(answers, [german.format(number) for number in range(200)]))
    other = contract_of(seen(answers, [english.format(number) for number in range(200)]))
    assert (same.language, other.language) == ("", "de")
    assert breach(AnswerContract(language="de"), Answer(english, "stop"))


def called(number: int, name: str = "find", **more: Any) -> SeenAnswer:
    arguments = json.dumps({"city": f"City {number}", "days": number % 9, **more})
    return SeenAnswer(Answer("", "tool_calls", calls=(ToolCall(name, arguments),)))


def test_tool_calls_keep_their_names_and_arguments() -> None:
    contract = contract_of([called(number) for number in range(150)])
    assert contract.calls == "always"
    assert contract.tools["find"]["required"] == ["city", "days"]
    assert not breach(contract, called(3).answer)
    assert breach(contract, called(3, "book").answer)
    assert breach(contract, Answer("Berlin", "stop")) == "it calls no tool"
    for arguments in ('{"city": "Rome"}', '{"city": 1, "days": 1}', "{", "[]"):
        assert breach(contract, Answer("", "tool_calls", calls=(ToolCall("find", arguments),)))


def test_right_answers_of_people_come_before_what_the_model_said() -> None:
    said = seen([f"This is about {LABELS[number % 3]}, I think." for number in range(200)])
    given = seen([LABELS[number % 3] for number in range(120)], is_given=True)
    contract = contract_of([*said, *given])
    assert (contract.labels, contract.keeps) == (LABELS, 0.0)


def test_a_label_from_a_person_does_not_hide_the_json_around_it() -> None:
    said = seen([json.dumps({"label": LABELS[number % 3]}) for number in range(200)])
    given = seen([LABELS[number % 3] for number in range(120)], is_given=True)
    assert contract_of([*said, *given]).json_schema is not None


def test_a_label_with_a_persons_data_is_not_kept() -> None:
    assert not learn([("anna@bank.example", "bo@bank.example")[number % 2] for number in range(200)]).labels


def test_a_table_with_data_as_keys_claims_no_keys() -> None:
    texts = [json.dumps({f"person {number * 7 + at}": at for at in range(4)}) for number in range(100)]
    schema = learn(texts).json_schema
    assert schema == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_what_text_no_file_can_hold_is_no_evidence() -> None:
    assert learn(['{"a": "\\ud800"}'] * 200).json_schema is None


def test_a_set_is_complete_after_sixty_without_a_new_value() -> None:
    assert alternatives(["a"] * SETTLED) == ("a",)
    assert alternatives(["a"] * (SETTLED - 1)) == ()
    assert alternatives(["a"] * 500 + ["b"] + ["a"] * (SETTLED - 1)) == ("a", "b")
    assert alternatives(["a"] * 500 + ["b"] + ["a"] * (SETTLED - 2)) == ()
