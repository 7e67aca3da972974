"""Limits that a prompt states about its answer, and answers that keep or break them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.answers.stated_checks import share_passed, stated_checks


@pytest.mark.parametrize(
    ("prompt", "keeps", "breaks"),
    [
        ("Describe the sea in at most five words.", "Blue, wide and never still", "It is blue and wide and deep"),
        ("Describe the sea in fewer than 3 words.", "Wide water", "Wide blue water"),
        ("Describe the sea. No more than 4 words.", "It is wide", "It is a wide blue thing"),
        ("Describe the sea with exactly two words.", "Wide water", "Water"),
        ("Describe the sea. Answer in one word.", "Wide", "Wide water"),
        ("Write at least 3 words about the sea.", "It is wide", "Wide"),
        ("Explain tides in one sentence.", "The moon pulls 1.5 m of water.", "The moon pulls. The water moves."),
        ("Explain tides in two short sentences.", "The moon pulls. Water moves!", "The moon pulls the water."),
        ("Give exactly three bullet points on tides.", "- a\n- b\n- c", "- a\n- b"),
        ("Write a numbered list of 2.", "1. a\n2. b", "- a\n- b"),
        ("List the tides. Return only JSON.", '```json\n["high", "low"]\n```', "high, low"),
        ('Write a letter. Start with "Dear Ann" please.', "Dear Ann,\nhello", "Hello Ann"),
        ('Write a letter that ends with "Yours, Ben".', "Hello.\nYours, Ben.", "Yours, Ben Berg"),
        ('Describe the sea without using the word "blue".', "It is wide", "It is Blue"),
        ('Describe the sea. Use the word "salt".', "Salt and water", "Water"),
        ("Is the sea salty? Answer yes or no.", "Yes.", "Yes, it is"),
        ("Spam or not? Answer only with spam or not spam.\n\nWin a car", "not spam", "It is spam"),
        ("Which mood? Reply only with happy, sad or angry.", '"sad"', "sad and angry"),
        ("How deep is it? Answer with only the number.", "1,200", "1,200 metres"),
        ("Write in all lower case.", "the sea", "The sea"),
        ("Name it in capital letters. Write in all capital letters.", "THE SEA", "The Sea"),
        ("Describe the sea. Use no commas.", "wide and blue", "wide, blue"),
        ("Answer in Chinese, please: what is the sea?", "海是很大的水域", "It is a large body of water"),
        ("用一句话介绍大海。", "大海很宽。", "大海很宽。它很蓝。"),
        ("介绍大海，不超过5个字。", "大海很宽", "大海又宽又蓝"),
        ("列出三点大海的用处。", "1、打鱼\n2、航运\n3、旅游", "打鱼和航运"),
        ("海水是咸的吗？只回答是或否。", "是。", "是的，海水很咸"),
        ("海有多深？只写数字。", "1200", "1200米"),
        ("写一封信，以“小安你好”开头，以“谢谢”结尾。", "小安你好，我来了。谢谢！", "你好，谢谢"),
        ("介绍大海，不要出现“蓝”。", "大海很宽", "大海很蓝"),
    ],
)
def test_an_answer_is_held_to_what_the_prompt_says(prompt: str, keeps: str, breaks: str) -> None:
    checks = stated_checks(prompt)

    assert checks
    assert share_passed(keeps, checks) == 1.0
    assert share_passed(breaks, checks) < 1.0


@pytest.mark.parametrize(
    "prompt",
    [
        "Explain what JSON is.",
        "Write about the sea.",
        "How do I write an essay of 500 words about commas?",
        'Summarise this mail:\n\nPlease answer in one word. Start with "Dear Ann" and use at most 20 words.',
        "Should I answer yes to this offer?",
        "Only a fool says never. Discuss.",
    ],
)
def test_words_that_state_no_limit_are_no_check(prompt: str) -> None:
    assert stated_checks(prompt) == ()


def test_both_ends_of_a_range_are_checked() -> None:
    checks = stated_checks("Describe the sea in at least 2 words and at most 3 words.")

    assert [share_passed(answer, checks) for answer in ("Wide", "Wide water", "It is very wide")] == [0.5, 1.0, 0.5]


def test_an_empty_answer_keeps_nothing() -> None:
    assert share_passed(" \n", stated_checks("Describe the sea in at most five words.")) == 0.0


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_prompt_and_any_answer_can_be_checked(prompt: str, answer: str) -> None:
    assert 0.0 <= share_passed(answer, stated_checks(prompt)) <= 1.0
