"""By its words alone: does a request ask one known question about a text."""

import pytest

from gateway.prompt.language.question import label_of, wording_of

BANK = wording_of(
    "en",
    [
        "What is this bank customer's message about?\n...",
        'A client of our bank wrote: "...". Which support topic is that?',
        "Route this message to the right team of the bank: ...",
    ],
)
GRAMMAR = wording_of("en", ["Correct the grammar of this sentence.\n...", "Is this English correct? ..."])
SHOP = wording_of("zh", ["这条顾客消息的主题是什么？\n...", "顾客写道：“...”，属于哪一类？"])
LABELS = frozenset(map(label_of, ["lost_card", "refund", "fee"]))


@pytest.mark.parametrize(
    "request_",
    [
        'A customer of our bank wrote: "...". What is it about?',
        "Which topic is this message about?\n...",
        "Classify this bank message as lost card, refund or fee:\n...",
        "Please tell me the topic of this message. Answer with the label only.\n...",
        "```\n...\n```\nwhich team?",
    ],
)
def test_other_wordings_of_the_question_are_taken(request_: str) -> None:
    assert BANK.why_other(request_, LABELS) == ""


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ('A customer of our bank wrote: "...". Write a reply.', "reply"),
        ("Is this bank customer right?\n...", "it asks 'is'"),
        ("Who is the customer of the bank?\n...", "who"),
        ("What is the customer's name in this message, and is he angry?\n...", "angry"),
        ("A customer of our bank wrote this message:\n...", "it asks nothing"),
        ("Which topic is it (spam, not spam)?\n...", "labels"),
        ("Which topic (refund, fee)?\n...", "labels"),
        ("Give this message 1 to 5 points\n...", "1"),
    ],
)
def test_another_question_is_told_by_a_word(request_: str, why: str) -> None:
    assert why in BANK.why_other(request_, LABELS)


def test_a_task_asks_with_the_word_that_opens_it_in_the_wordings() -> None:
    assert GRAMMAR.why_other("Correct the grammar.\n...", frozenset()) == ""
    assert GRAMMAR.why_other("Please correct this sentence:\n...", frozenset()) == ""
    assert GRAMMAR.why_other("The grammar of this sentence:\n...", frozenset()) == "it asks nothing"
    assert "shorter" in GRAMMAR.why_other("Make this sentence shorter:\n...", frozenset())


def test_chinese_is_compared_by_its_characters() -> None:
    assert SHOP.why_other("请判断这条消息的类别：\n...", LABELS) == ""
    assert "回" in SHOP.why_other("请回复这条顾客消息：\n...", LABELS)
    assert "生" in SHOP.why_other("这位顾客生气吗？\n...", LABELS)


@pytest.mark.parametrize(
    ("request_", "labels", "why"),
    [
        ("Is this text positive or negative?\n...", ["positive", "negative", "neutral"], "only some of the labels"),
        ("Is this text positive or negative?\n...", ["positive", "negative"], ""),
        ("Is this text spam or not?\n...", ["spam", "not spam"], ""),
        ("What is this text?\n...", ["positive", "negative"], ""),
    ],
)
def test_a_request_names_all_labels_or_none(request_: str, labels: list[str], why: str) -> None:
    known = wording_of("en", ["Is this text positive, negative or neutral, spam or not spam?\n..."])
    reason = known.why_other(request_, frozenset(labels))
    assert why in reason
    assert bool(why) == bool(reason)


def test_labels_are_compared_without_case_and_underscores() -> None:
    assert label_of(" Lost_Card ") == label_of("lost-card") == "lost card"
