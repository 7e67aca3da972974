"""Which of several answers is elected."""

import re

import pytest

from gateway.prompt.answers.vote import elect, result_of


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("3 + 4\nAnswer: 7", "7"),
        ("Answer: **1,200.00**", "1200"),
        ("answer: Yes.", "yes"),
        ("Answer: $18", "18"),
        ("I do not know", ""),
    ],
)
def test_equal_results_are_equal_texts(answer: str, result: str) -> None:
    assert result_of(answer, "Answer:", None) == result


def test_a_pattern_finds_the_last_result() -> None:
    assert result_of("first (A), then (B)", "", re.compile(r"\(([A-D])\)")) == "b"


def test_the_majority_wins_and_of_equals_the_earliest() -> None:
    assert elect(["7", "8", "8"]) == (1, 2)
    assert elect(["7", "8"]) == (0, 1)


def test_who_states_no_result_has_no_vote() -> None:
    assert elect(["", "", "8"]) == (2, 1)
    assert elect(["", ""]) == (0, 0)
