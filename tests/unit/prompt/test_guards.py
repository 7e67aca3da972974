"""Nothing the user wrote is lost: property-tested."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.exchange import Turn
from gateway.prompt.guards import UNCHECKED_CHARS, lost
from gateway.prompt.invariants import items


def hard_items(text: str) -> list[str]:
    return [item.text for item in items(text)]


def user(text: str) -> tuple[Turn, ...]:
    return (Turn("user", text),)


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("Give 3 ideas under $4.50 or 20%", {"3", "$4.50", "20%"}),
        ("Write ten ideas", {"ten"}),
        ("用三句话总结，不超过50个字", {"三", "50"}),
        ('Use the word "serendipity" twice', {"serendipity"}),
        ("请引用《红楼梦》和「黛玉」", {"《红楼梦》", "黛玉"}),
        ("See https://example.com/a?b=1 or write to a.b@example.com", {"https://example.com/a?b=1", "a.b@example.com"}),
        ("Ask Maria Lopez in Berlin about IKEA", {"Maria Lopez", "Berlin", "IKEA"}),
        ("Rename get_user and MyClass in src/app.py with `x = 1`", {"get_user", "MyClass", "src/app.py", "x = 1"}),
        ("Fix this\n```py\nprint(1)\n```", {"print(1)"}),
        ("Please do not mention prices", {"not mention prices"}),
        ("don't be formal", {"don't be formal"}),
        ("without using tables", {"without using tables"}),
        ("不要提到价格", {"不要提到价"}),
        ("Answer as JSON only", {"JSON"}),
        ("Keep {name} and <b>bold</b> and {{ x }}", {"{name}", "<b>", "</b>", "{{ x }}"}),
        ("due on 12 May 2026, tomorrow", {"12 May 2026", "tomorrow"}),
        ("Sort into: cats, dogs or birds", {"cats, dogs or birds"}),
        ("Is v2.1 of GPT4 better", {"v2.1", "GPT4"}),
        ("Summarise the following text", set()),
        ("Which intent is this banking message", set()),
        ("把下面这句话翻译成英文", {"英文"}),
        ("这有什么不同，特别是那只猫", set()),
    ],
)
def test_what_has_to_survive_is_found(query: str, items: set[str]) -> None:
    assert items <= set(hard_items(query))
    if not items:
        assert set(hard_items(query)) == set()


def test_the_whole_query_in_the_prompt_loses_nothing() -> None:
    query = 'Do NOT write "x" 3 times for Bob'
    assert lost(query, user(f"Carefully:\n\n{query}\n\nThink.")) == ()


def test_what_is_gone_is_named() -> None:
    query = 'Tell Bob about "the plan" at 10:30, not before'
    assert lost(query, user("Tell someone about the plan")) == ("10:30", "Bob", "not before")


def test_an_item_inside_a_longer_one_does_not_count() -> None:
    assert lost("give 3 ideas", user("give 13 ideas or 3.5")) == ("3",)
    assert lost("use get_user", user("use forget_user and get_users")) == ("get_user", "use get_user")


def test_an_item_has_to_come_as_often_as_it_came() -> None:
    assert lost("2 cats and 2 dogs", user("cats and dogs: 2")) == ("2",)


def test_an_assistant_turn_cannot_stand_in_for_the_users_words() -> None:
    assert lost("give 3 ideas", (Turn("assistant", "here are 3"), Turn("user", "give ideas"))) == ("3",)


def test_a_span_that_is_repeated_as_a_whole_is_not_looked_into() -> None:
    query = "Which intent is this: Pay Bob 5 euros, not 6"
    span = (query.index("Pay"), len(query))
    assert lost(query, user("Message: Pay Bob 5 euros, not 6"), [span]) == ()
    assert "Bob" in lost(query, user("Message: pay bob 5 euros, not 6"), [span])


def test_a_long_text_outside_of_every_slot_is_lost() -> None:
    assert lost("word " * UNCHECKED_CHARS, user("word")) == (
        f"{5 * UNCHECKED_CHARS} characters outside the template's slots",
    )


PIECES = st.sampled_from(
    ["3", "17%", "$9.99", '"a quote"', "`code`", "https://a.example/x", "me@a.example", "Alice", "not", "never", "NASA",
     "get_user", "最多", "不要", "《书》", "please", "tell", "the", "text", "12 May", "总结", "\n", ": ", ". "]
)  # fmt: skip
ITEMS = ["42", "https://b.example/y", '"quoted words"', "`snippet`", "b@c.example", "NATO"]
SENTENCES = st.lists(PIECES, max_size=14).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(SENTENCES | st.text(max_size=120), st.text(max_size=40), st.text(max_size=40))
def test_a_prompt_around_the_query_never_loses_anything(query: str, before: str, after: str) -> None:
    assert lost(query, user(f"{before}{query}{after}")) == ()


@settings(max_examples=150, deadline=None)
@given(SENTENCES | st.text(max_size=120), SENTENCES)
def test_what_passes_the_guard_has_every_item_word_for_word(query: str, prompt: str) -> None:
    if lost(query, user(prompt)) == ():
        assert all(item in prompt for item in hard_items(query))


@settings(max_examples=150, deadline=None)
@given(
    SENTENCES,
    st.sampled_from(["42", "https://b.example/y", '"quoted words"', "`snippet`", "b@c.example", "NATO"]),
    SENTENCES,
)
def test_a_hard_item_anywhere_in_the_query_cannot_vanish(before: str, item: str, after: str) -> None:
    query = f"{before} {item} {after}"
    assume(before.count("`") % 2 == 0 and before.count('"') % 2 == 0)
    kept = " ".join(query.replace(item, " ").split())
    assert lost(query, user(kept)) != ()


@settings(max_examples=100, deadline=None)
@given(SENTENCES, st.data())
def test_dropping_a_word_of_a_kept_span_is_noticed(text: str, data: st.DataObject) -> None:
    text = f"pay 5 {text} now"
    query = f"Label: {text}"
    cut = data.draw(st.integers(0, 4))
    assert lost(query, user(text[cut + 1 :]), [(7, len(query))]) != () or "5" in text[cut + 1 :]
