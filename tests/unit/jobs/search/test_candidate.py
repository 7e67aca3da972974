"""A template's source taken apart and put together again says what it said, and no text becomes structure."""

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.templates.parse import parse
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.datasets.splits import SplitSizes, affordable
from offline_jobs.errors import JobFailed
from offline_jobs.search.candidate import (
    CandidateExamples,
    Parent,
    assembled,
    examples_in,
    examples_text,
    pieces_of,
    quotable,
    quoted,
    set_key,
)
from offline_jobs.search.critique import read
from offline_jobs.search.gate import admitted
from offline_jobs.search.propose import ProposalMaterial, proposals
from offline_jobs.search.race import answers_needed, race
from offline_jobs.search.score import AnswerMeasure, measure_of
from tests.doubles.templates import source

BODY = "# system\nBe brief.\n# user\nAn example\n# assistant\nIts answer\n# user\n{{ query }}\n"


def a_parent(body: str = BODY, more: str = "") -> Parent:
    text = source(body, more=more)
    return Parent(parse(text, "refund.prompt.md"), text, Path("refund.prompt.md"))


def test_what_nothing_was_changed_in_says_the_same() -> None:
    parent = a_parent(more='output: {max_tokens: 7, stop: ["\\n"]}\n')
    again = parse(assembled(parent, pieces_of(parent)), "again")
    assert [(part.role, part.source) for part in again.parts] == [
        (part.role, part.source) for part in parent.template.parts
    ]
    assert (again.version, again.status, again.output) == (2, "candidate", parent.template.output)
    assert again.intent == parent.template.intent


def test_first_calls_and_retries_stay() -> None:
    more = "calls: {facts: {}}\nchecks: [{max_words: 5}]\niterate: {rounds: 1}\n"
    body = "# call facts\nFacts on {{ query }}\n# user\n{{ query }}\n{{ facts }}\n# retry\n{{ failures | join(',') }}\n"
    parent = a_parent(body, more)
    again = parse(assembled(parent, pieces_of(parent)), "again")
    assert again.first["facts"].source == "Facts on {{ query }}"
    assert again.retry is not None and again.retry.source == "{{ failures | join(',') }}"


def test_comments_and_blocks_of_the_head_survive_a_changed_key() -> None:
    head = "schema: 1\n# why it is so\nversion: 3\noutput:\n  max_tokens: 5\n  stop: [a]\nid: x\n"
    changed = set_key(set_key(set_key(head, "version", "4"), "output", ""), "technique", "direct")
    assert changed == "schema: 1\n# why it is so\nversion: 4\nid: x\ntechnique: direct\n"


@given(st.text(alphabet=st.sampled_from("ab{}%# \n\\useryst:-\"'"), min_size=1, max_size=40).filter(quotable))
def test_an_example_renders_to_itself_whatever_is_in_it(text: str) -> None:
    parent = a_parent()
    rows = ((text, text), ("plain", "answer"))
    pieces = {**pieces_of(parent), "examples": examples_text(CandidateExamples("turns", 2, rows))}
    turns = parse(assembled(parent, pieces), "again").render({"query": "the question"})
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert (turns[1].text, turns[2].text, turns[-1].text) == (text.strip(), text.strip(), "the question")


def test_a_heading_in_an_example_stays_text() -> None:
    assert parse(f"{source().rpartition('---')[0]}---\n# user\n{quoted('# system')}\n", "x").render({}) != ()


def test_examples_in_the_prompt_are_the_heads() -> None:
    parent = a_parent("# user\n{{ query }}\n")
    rows = (('say "hi"', "yes: no"), ("b", "c"))
    pieces = {**pieces_of(parent), "examples": examples_text(CandidateExamples("list", 2, rows))}
    made = parse(assembled(parent, pieces), "again")
    assert [(shot.input, shot.output) for shot in made.examples] == list(rows)  # type: ignore[union-attr] - a list
    (turn,) = made.render({"query": "q"}, made.examples)  # type: ignore[arg-type] - a list
    assert turn.text == 'Input: say "hi"\nOutput: yes: no\nInput: b\nOutput: c\n\nq'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("# user\n{{ qeury }}\n", "no slot 'qeury'"),
        ("# user\n{% for x in y %}{% endfor %}\n", "The template is broken"),
        ("# user\n" + "{{ query }} word " * 400, "does not pass lint"),
    ],
)
def test_the_gate_says_what_is_wrong(body: str, said: str) -> None:
    found = admitted(source(body, status="candidate"), Path("x"), a_parent().template.optimise)
    assert isinstance(found, str) and said in found


def test_a_candidate_that_fails_the_templates_own_test_is_not_admitted() -> None:
    more = "tests:\n  - query: refund order 12\n    expect:\n      - contains: please\n"
    found = admitted(
        source("# user\n{{ query }}\n", status="candidate", more=more), Path("x"), a_parent().template.optimise
    )
    assert isinstance(found, str) and "fails its own test" in found


def test_every_proposal_of_the_rules_is_admitted() -> None:
    parent = a_parent("# system\nBe brief.\n# user\n{{ query }}\n")
    shots = tuple((f"question {number}", "yes" if number % 2 else "no") for number in range(30))
    rows = [DatasetRow(given, wanted=wanted) for given, wanted in shots]
    known = ProposalMaterial(shots, measure_of(rows, ()), "en", nearest=False)
    found = dict(proposals(pieces_of(parent), known, Random(0)))
    assert len(found) >= 8
    for name, pieces in found.items():
        text = assembled(parent, pieces)
        assert not isinstance(admitted(text, Path("x"), parent.template.optimise), str), (name, text)


@pytest.mark.parametrize("sampling", [(), ("max_tokens",), ("max_tokens", "temperature", "stop")])
def test_no_proposal_sets_what_the_backend_does_not_take(sampling: tuple[str, ...]) -> None:
    parent = a_parent("# system\nBe brief.\n# user\n{{ query }}\n")
    shots = tuple((f"question {number}", "yes" if number % 2 else "no") for number in range(30))
    rows = [DatasetRow(given, wanted=wanted) for given, wanted in shots]
    known = ProposalMaterial(shots, measure_of(rows, ()), "en", nearest=False, sampling=sampling)

    found = dict(proposals(pieces_of(parent), known, Random(0)))

    outputs = [json.loads(pieces["settings"]).get("output", {}) for pieces in found.values()]
    assert all(output.keys() <= set(sampling) for output in outputs)
    assert ("short answers" in found) == bool(sampling), "without settings it would be the same request"


def test_examples_as_turns_show_every_label_of_a_closed_set() -> None:
    parent = a_parent()
    labels = tuple(f"label {number}" for number in range(15))
    shots = tuple((f"text {number} {label}", label) for number in range(3) for label in labels)
    known = ProposalMaterial(shots, AnswerMeasure(labels), "en", nearest=False)
    shown = {name: examples_in(pieces).rows for name, pieces in proposals(pieces_of(parent), known, Random(0))}
    for rule in ("examples as turns", "examples in the prompt", "other examples"):
        assert {label for _, label in shown[rule]} == set(labels)
    assert len(shown["fewer examples"]) == 4


def test_rules_have_nothing_to_draw_from_where_nobody_said_what_is_right() -> None:
    known = ProposalMaterial((), AnswerMeasure(), "zh", nearest=True)
    found = dict(proposals(pieces_of(a_parent()), known, Random(0)))
    assert set(found) == {"only the answer", "no system message", "checklist", "step by step"}
    assert "只给出答案" in found["only the answer"]["user"]


def test_a_critique_is_read_apart_from_what_it_wrote() -> None:
    said = "It never names the labels.\n\n<<<system\n>>>\n<<<user\n{{ query }}\nOne word.\n>>>\n"
    found = read(said)
    assert found.text == "It never names the labels."
    assert dict(found.pieces) == {"system": "", "user": "{{ query }}\nOne word."}
    assert dict(read(said, frozen=("user",)).pieces) == {"system": ""}
    assert dict(read("I would rather chat. <<<user").pieces) == {}
    assert "user" not in read("<<<user\n\n>>>").pieces


def test_the_score_has_grades() -> None:
    measure = measure_of([DatasetRow(str(number), wanted="yes" if number % 2 else "no") for number in range(20)], ())
    row = DatasetRow("is it?", wanted="yes")
    grades = [measure.weigh(row, answer, 10, 0).score for answer in ("Maybe so.", "Well, yes it is", "no", "Yes.")]
    assert grades == sorted(grades) and len(set(grades)) == 4
    assert measure.weigh(row, "no", 10, 0).feedback == "Wanted: 'yes'."
    assert "none of: no, yes" in measure.weigh(row, "Maybe", 10, 0).feedback


def test_a_race_finds_the_best_and_asks_the_worse_half_no_more() -> None:
    draw = Random(1)
    means = {"a": 0.2, "b": 0.8, "c": 0.3, "d": 0.5, "e": 0.4}
    answers = {arm: [float(draw.random() < mean) for _ in range(60)] for arm, mean in means.items()}
    seen = dict.fromkeys(means, 0)

    def score(arm: str, rows: int) -> float:
        seen[arm] = rows
        return sum(answers[arm][:rows]) / rows

    order = race(list(means), 60, score)
    assert order[0] == "b" and sorted(order) == list(means)
    assert seen["b"] == seen[order[1]] == 60
    assert sorted(seen.values())[:2] == [10, 10]
    assert sum(seen.values()) == answers_needed(5, 60) < 5 * 60


@pytest.mark.parametrize("rows", [1, 2, 7, 30])
@pytest.mark.parametrize("arms", [1, 2, 3, 12])
def test_a_race_takes_as_many_looks_as_it_says_and_prefers_the_first_of_equals(arms: int, rows: int) -> None:
    seen: set[tuple[int, int]] = set()

    def score(arm: int, count: int) -> float:
        seen.update((arm, row) for row in range(count))
        return 0.5

    assert race(range(arms), rows, score) == list(range(arms))
    assert len(seen) == answers_needed(arms, rows)


@pytest.mark.parametrize(
    ("calls", "each", "sizes"),
    [
        (500, 1, SplitSizes(30, 60)),
        (200, 1, SplitSizes(20, 40)),
        (84, 1, SplitSizes(8, 16)),
        (26, 1, SplitSizes(1, 10)),
        (500, 3, SplitSizes(16, 33)),
    ],
)
def test_what_the_calls_cannot_pay_for_is_not_split_off(calls: int, each: int, sizes: SplitSizes) -> None:
    found = affordable(calls, each, 30, 60)
    assert found == sizes
    assert each * (2 * found.sealed + 6 * found.choose) <= calls


def test_calls_that_can_decide_nothing_are_refused() -> None:
    with pytest.raises(JobFailed, match="allow 26 or more"):
        affordable(25, 1, 30, 60)


def test_lineage_is_plain_json() -> None:
    assert json.loads(examples_text(CandidateExamples("turns", 1, (("a", "b"),)))) == {
        "form": "turns",
        "k": 1,
        "rows": [["a", "b"]],
    }
