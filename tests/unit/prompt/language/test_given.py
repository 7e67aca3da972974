"""What a prompt settles about its answer, in English and in Chinese."""

import pytest

from gateway.prompt.language.given import FIELDS, Settled
from tests.doubles.templates import template


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("tell me about cats", set()),
        ("Return the rows as JSON", {"format", "only"}),
        ("write it in three sentences", {"length", "count"}),
        ("say it in French", {"language"}),
        ("a polite note", {"tone"}),
        ("5 names for a boat", {"count"}),
        ("explain gravity to a 9 year old", {"audience", "steps"}),
        ("output SQL and nothing else", {"only", "language"}),
        ("show your work", {"steps"}),
        ("把它写成表格", {"format"}),
        ("不超过100字", {"length"}),
        ("译成法语", {"language"}),
        ("用委婉的语气写", {"tone"}),
        ("起十个店名", {"count"}),
        ("讲给小朋友听", {"audience"}),
        ("只输出代码", {"only"}),
        ("写出解题过程", {"steps"}),
        ("Pack for a trip.\n1. socks\n2. soap\n\n3. bread", {"requirements"}),
        ("Pack.\n- socks\n- soap\n- salt", {"requirements"}),
        ("Pack.\n- socks\n- soap", set()),
        ("You are a tour guide, and your task is now to greet them.", {"requirements", "tone"}),
        ("整理行李：\n1、袜子\n2、香皂\n3、书", {"requirements"}),
        ("你是编辑，你的任务是校对", {"requirements"}),
    ],
)
def test_what_the_words_settle(text: str, fields: set[str]) -> None:
    settled = Settled(text)
    assert {name for name in FIELDS if getattr(settled, name)} == fields


@pytest.mark.parametrize(
    "text",
    [
        "Only output SQL.",
        "Please do not explain it.",
        "no extra comments in the code",
        "Write a haiku about rain. Just the poem.",
        "which team won? just the name",
        "Translate into Dutch, only the translation please: Good night.",
        "I only want the code",
        "I just need to know the year",
        "give me only the three names",
        "Return only the label.",
        "python function for gcd, code only",
        "Fix the typos, please reply with the corrected text only.",
        "The answer only, no explanation.",
        "I'm only interested in the result.",
        "Follow strictly this form",
        "is he angry or happy (only one word)",
    ],
)
def test_only_counts_where_it_speaks_of_the_answer(text: str) -> None:
    assert Settled(text).only


@pytest.mark.parametrize(
    "text",
    [
        "I only know Java. How do I read a file in Go?",
        "write a function that keeps only the even elements of a list",
        "My cat just turned two, what can I give her?",
        "Plan a party for 20 people, we only have 300 euros",
        "suggest lunches, my son only eats pasta",
        "The server is only reachable through a jump host. How do I copy files to it?",
        "write a script to print the size of each folder and output the total",
        "I was just promoted and want to thank my boss in a mail",
        "just wondering how a dam works",
        "compare the two phones, the only thing that matters is the camera",
        "a sort that does not use recursion and can return the number of swaps",
        "I do not understand this code. Please explain it to me.",
        "The plane is exactly full. How many seats are left on the second flight?",
    ],
)
def test_other_uses_of_only_leave_the_answer_open(text: str) -> None:
    assert not Settled(text).only


def test_the_middle_of_a_long_text_settles_nothing_and_its_end_does() -> None:
    text = "Read this. " + "The sea is wide. " * 100 + "Use a table. " + "The sea is wide. " * 100
    assert not Settled(text).format
    assert Settled(text + "Answer as a table.").format == "table"


def test_a_sentence_of_a_template_steps_back_before_the_prompt() -> None:
    body = "# user\n{{ query }}\n{% if not given.length and not given.only %}\n\nBriefly.{% endif %}"
    for wording in (body, body.replace("not given.length and not given.only", "not (given.length or given.only)")):
        parsed = template(wording)
        assert parsed.render({"query": "what is rain"})[0].text == "what is rain\n\nBriefly."
        assert parsed.render({"query": "what is rain, in detail"})[0].text == "what is rain, in detail"
        assert parsed.render({"query": "only the name of it"})[0].text == "only the name of it"


def test_a_slot_of_that_name_goes_first() -> None:
    parsed = template("# user\n{{ query }}{% if given %} ({{ given }}){% endif %}", more="slots: {given: number}\n")
    assert parsed.render({"query": "pay 5", "given": "5"})[0].text == "pay 5 (5)"


@pytest.mark.parametrize(
    "text", ["\n" * 1800, " \n" * 900, "\n1 " * 600, "1. " * 600, "you are a " * 180, "你是甲，" * 450]
)
def test_a_search_for_requirements_ends_soon(text: str) -> None:
    """A pattern with two neighbouring repetitions of blanks would take minutes on these."""
    assert not Settled(text).requirements
