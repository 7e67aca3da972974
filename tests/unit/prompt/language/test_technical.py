"""What shows that a prompt is about a program, a machine or code."""

import pytest

from gateway.prompt.language.technical import find_technical


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("how do I reload nginx", "nginx"),
        ("My Printer prints blank pages", "Printer"),
        ("why does foo.bar(1) return nothing", "o.bar("),
        ("what is -rf for", "-r"),
        ("got a keyerror today", "keyerror"),
        ("电脑开机很慢", "电脑"),
        ("想重装nginx", "nginx"),
    ],
)
def test_a_name_a_word_or_a_sign_of_code_shows_it(text: str, sign: str) -> None:
    span = find_technical(text)
    assert span is not None
    assert text[slice(*span)] == sign


@pytest.mark.parametrize(
    "text",
    [
        "normalize a vector",
        "Invert a 2x2 matrix.",
        "scale a recipe",
        "sort the numbers by size",
        "向量归一化",
        "怎么减肥",
        "",
    ],
)
def test_a_task_without_a_machine_is_not_taken_for_one(text: str) -> None:
    assert find_technical(text) is None
