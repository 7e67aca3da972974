"""Slots are filled from the query alone, with the place of each value."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.prompt.slots.fill import FilledSlots, SlotMissing, fill
from gateway.prompt.templates.template import Template
from tests.doubles.templates import template


def with_slot(slot: str, language: str = "en") -> Template:
    return template("# user\n{{ x }}", more=f"slots:\n  x: {slot}\n", language=language)


def value(slot: str, query: str, language: str = "en") -> str:
    filled = fill(with_slot(slot, language), query)
    assert isinstance(filled, FilledSlots)
    return filled.values.get("x", "")


@pytest.mark.parametrize(
    ("slot", "query", "expected"),
    [
        ("query", " all of it ", " all of it "),
        ("payload", "Translate to French: good morning", ""),
        ("payload", "Translate to French:\ngood morning", "good morning"),
        ("{from: payload, required: true}", "Translate to French: good morning", "good morning"),
        ("instruction", "Translate to French: good morning", "Translate to French: good morning"),
        ("instruction", "Translate to French:\ngood morning", "Translate to French"),
        ("instruction", "Fix this bug:\n```\nx = 1\n```\nIt fails", "Fix this bug\nIt fails"),
        ("instruction", "Tell me about the sea", "Tell me about the sea"),
        ("question", "Read this passage: It opens at 9. When does it open?", "Read this passage"),
        ("question", "I need help. When does it open?", "When does it open?"),
        (
            "{from: section, values: [Context, Passage]}",
            "Context: It is blue.\nSo it is.\nQuestion: why?",
            "It is blue.\nSo it is.",
        ),
        ("{from: section, values: [材料]}", "材料：天是蓝的。\n问题：为什么？", "天是蓝的。"),
        ("quoted", 'What does "carpe diem" mean?', "carpe diem"),
        ("quoted", "解释「守株待兔」的意思", "守株待兔"),
        ("quoted", "it's Bob's car, isn't it", ""),
        ("code", "Explain\n```py\nx = 1\n```\nplease", "x = 1"),
        ("code", "Explain this code: for i in range(3): print(i)", "for i in range(3): print(i)"),
        ("code", "Explain this sentence: the sea is wide", ""),
        ("code", "Shorten this:\nThe bridge is old;\nthe town (see above) is new;", ""),
        ("code", "Shorten this:\nfor example: the guest(s) may stay;", ""),
        ("code", "Shorten this:\nwhile (n) n -= 1;", "while (n) n -= 1;"),
        ("code", "Shorten this:\nint n;\nn++;", "int n;\nn++;"),
        ("code", "Shorten this:\nDROP TABLE guests;", "DROP TABLE guests;"),
        ("options", "Classify as positive, negative or neutral: I like it", "positive, negative or neutral"),
        ("options", "Is it spam or ham: buy now", "spam or ham"),
        ("options", "Pick one of these labels: a, b, c\n\nText: x", "a, b, c"),
        ("options", "Classify (billing, sales, other): where is my invoice", "billing, sales, other"),
        ("options", "判断下面这句话属于体育、财经还是娱乐：股市大涨", "体育、财经还是娱乐"),
        ("options", "Classify this: yes or no", ""),
        ("{values: {formal: [polite], friendly: [warm]}}", "Write a polite, warm note", "formal"),
        ("{values: [formal, friendly]}", "Informal note please", ""),
        ("{values: {正式: [官方], 友好: []}}", "写一封官方的邮件", "正式"),
        ("{values: [email, e-mail list]}", "make an e-mail list", "e-mail list"),
        ("language", "Translate from English to french: hi", "French"),
        ("language", "Translate into Chinese: I speak French", "Chinese"),
        ("language", "how do you say hello in Japanese", "Japanese"),
        ("language", "say hello", ""),
        ("number", "Give me 3 ideas: a 7 b", "3"),
        ("number", "Give me five ideas", "five"),
        ("{from: number, pattern: '(\\d+)\\s*(?:points|bullets)'}", "In 2024, list 4 points", "4"),
        ("date", "Plan a party for 12 May 2026", "12 May 2026"),
        ("date", "remind me on 2026-11-24", "2026-11-24"),
        ("date", "下周三开会", "下周三"),
        ("url", "read (https://example.com/a?b=1).", "https://example.com/a?b=1"),
        ("email", "write to ann.b@example.com, please", "ann.b@example.com"),
        ("{pattern: 'order (\\d+)'}", "where is Order 1234", "1234"),
        ("{pattern: '#\\d+'}", "see #77", "#77"),
        ("{from: [section, payload], values: [Context]}", "Summarise this text:\nthe sea", "the sea"),
        ("{from: number, default: '5'}", "give ideas", "5"),
    ],
)
def test_a_slot_takes_its_value_from_the_query(slot: str, query: str, expected: str) -> None:
    assert value(slot, query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("把这句话翻译成法语：你好", "法语"),
        ("把“I speak French”译成英语", "英文"),
        ("中译英：你好", "英文"),
        ("翻译成Japanese：你好", "日语"),
    ],
)
def test_a_language_is_named_in_the_language_of_the_template(query: str, expected: str) -> None:
    assert value("language", query, "zh") == expected


def test_a_required_slot_that_is_not_found_silences_the_template() -> None:
    assert fill(with_slot("{from: payload, required: true}"), "hello") == SlotMissing(
        "x", "no payload was found in the query"
    )


def test_a_pattern_that_the_body_never_uses_is_no_condition_where_the_template_is_named() -> None:
    slots = "slots:\n  long: {pattern: '(?s)^.{60,}$', required: true}\n"
    conditional = template("# user\n{{ query }}\n\nBe brief.", more=slots)

    assert fill(conditional, "short") == SlotMissing("long", "no pattern was found in the query")
    assert isinstance(fill(conditional, "short", named=True), FilledSlots)
    assert isinstance(fill(with_slot("{pattern: '(x)', required: true}"), "short", named=True), SlotMissing)


def test_a_value_that_is_too_long_is_missing() -> None:
    query = "Summarise this text: the sea is wide"
    found = fill(with_slot("{from: payload, required: true, max_chars: 5}"), query)
    assert found == SlotMissing("x", "it has 15 characters; the template takes 5")
    assert value("{from: payload, max_chars: 5}", query) == ""


def test_each_value_is_kept_with_its_place() -> None:
    read = template(
        "# user\n{{ a }}{{ b }}{{ c }}", more="slots: {a: payload, b: number, c: {from: date, default: today}}\n"
    )
    query = "Put this message in 2 words:\nhello world"
    filled = fill(read, query)
    assert isinstance(filled, FilledSlots)
    places = {slot.name: (slot.source, query[slot.start : slot.end]) for slot in filled.slots if slot.start >= 0}
    assert places == {"a": ("payload", "hello world"), "b": ("number", "2")}
    assert [(slot.name, slot.source, slot.start) for slot in filled.slots if slot.start < 0] == [("c", "default", -1)]


PIECES = ["Classify as a, b or c: ", "“x” ", "3 ", "?", "\n", "this text "]
EVERY = template(
    "# user\n{{ query }}{{ a }}{{ b }}{{ c }}{{ d }}{{ e }}{{ f }}{{ g }}{{ h }}{{ i }}",
    more="slots: {a: payload, b: instruction, c: question, d: quoted, e: code, f: options, g: number, h: date, i: url}"
    "\n",
)


@settings(max_examples=150)
@given(st.text(max_size=120) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_a_place_is_where_the_value_stands(query: str) -> None:
    filled = fill(EVERY, query)
    assert isinstance(filled, FilledSlots)
    for slot in filled.slots:
        assert slot.value.strip()
        if slot.start >= 0:
            assert query[slot.start : slot.end] == slot.value


@pytest.mark.parametrize(
    ("slot", "query", "expected", "words"),
    [
        ("{type: number}", "At 10:30 give me 1,200 ideas", "1200", "1,200"),
        ("{type: number}", "Give me twenty-five ideas", "25", "twenty-five"),
        ("{type: number}", "写三百二十个字", "320", "三百二十"),
        ("{type: number, pattern: '(\\S+) points'}", "In 2024 list four points", "4", "four"),
        ("{type: date}", "remind me on 12 May 2026", "2026-05-12", "12 May 2026"),
        ("{type: date}", "三月五日提醒我", "03-05", "三月五日"),
        ("{type: list}", "Classify as positive, negative or neutral: ok", "positive\nnegative\nneutral", None),
        ("{type: list, from: payload}", "Sort this list: pears, plums and figs", "pears\nplums\nfigs", None),
        ("{type: enum, values: {formal: [polite]}}", "Write a polite note", "formal", "polite"),
        ("{type: language}", "Translate to french: hi", "French", "french"),
        ("{type: code}", "Explain\n```\nx = 1\n```", "x = 1", "x = 1"),
        ("{type: number}", "it was at 10:30 in v1.2.3", "", None),
    ],
)
def test_a_typed_slot_is_read_and_keeps_the_place_of_its_words(
    slot: str, query: str, expected: str, words: str | None
) -> None:
    filled = fill(with_slot(slot), query)
    assert isinstance(filled, FilledSlots)
    assert filled.values.get("x", "") == expected
    if words is not None:
        assert query[filled.slots[0].start : filled.slots[0].end] == words


def test_words_that_are_not_of_the_type_are_missing() -> None:
    found = fill(with_slot("{type: number, from: quoted, required: true}"), 'say "many"')
    assert found == SlotMissing("x", "no number from quoted was found in the query")
