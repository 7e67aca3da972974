"""What a query asks and what it is about are told apart, in English and Chinese."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.prompt.language.payload import split

APART = [
    ("Which intent is this banking message: I lost my card", "I lost my card", "Which intent is this banking message"),
    ('Classify the text "I lost my card"', "I lost my card", "Classify the text"),
    ("Classify this message as positive or negative: 'I don't like it'", "I don't like it", None),
    ("What does the customer want? I lost my card", "I lost my card", "What does the customer want?"),
    ("What is the intent of this message?\nhow do I top up", "how do I top up", "What is the intent of this message?"),
    ("I lost my card. Which intent is this?", "I lost my card.", "Which intent is this?"),
    ("I lost my card -- what intent is this?", "I lost my card", "what intent is this?"),
    ("Label the intent of this message - where is my card", "where is my card", None),
    ("Sentiment? I love it", "I love it", "Sentiment?"),
    ('Classify the text "I got a "decline" message."', 'I got a "decline" message.', "Classify the text"),
    ('"I lost it! What now?" Which intent is this?', "I lost it! What now?", "Which intent is this?"),
    ("tell me the forecast\n\nWhich intent is this?", "tell me the forecast", "Which intent is this?"),
    ("put this text in French - what's the intent?", "put this text in French", "what's the intent?"),
    ("What is the intent of the following message?\n\ndefine the word pug", "define the word pug", None),
    (
        'Our chatbot heard "remind me to water the plants". Which intent should fire?',
        "remind me to water the plants",
        None,
    ),
    ("Utterance: where did i park. What is the intent of the user?", "where did i park.", None),
    ("A person wrote this message. What kind of request is this? is it late", "is it late", None),
    ("Text: I love it\nLabel:", "I love it", None),
    (
        "Here is something that was said to us.\n\nin french, how do i say hello\n\nWhich intent is it?",
        "in french, how do i say hello",
        "Here is something that was said to us. Which intent is it?",
    ),
    (
        "This message came in today.\n\nMy card is lost.\n\nI need one.\n\nWhat's the concern?",
        "My card is lost.\n\nI need one.",
        None,
    ),
    ("Here is a review: it was bad. Is it positive?", "it was bad. Is it positive?", None),
    (
        "Summarise the following article in 3 bullet points:\n\nThe sun: it is big.\n\nIt shines.",
        "The sun: it is big.\n\nIt shines.",
        "Summarise the following article in 3 bullet points",
    ),
    ("The cat sat.\nIt ran.\n\nSummarise the above.", "The cat sat.\nIt ran.", "Summarise the above."),
    ('Polish this sentence: he said: "no way" and left', 'he said: "no way" and left', "Polish this sentence"),
    ("Translate to German\nDear Sir: I write", "Dear Sir: I write", "Translate to German"),
    ("Translate good morning into French", "good morning", "Translate into French"),
    ("how do you say I'm hungry in Spanish", "I'm hungry", None),
    ("in french, how do i say, see you later", "see you later", None),
    ("Fix this bug:\n```python\nprint(1)\n```\nIt fails", "print(1)", "Fix this bug It fails"),
    ("Explain:\n```\na\n```\nand\n```\nb\n```", "```\na\n```\nand\n```\nb\n```", "Explain"),
    ("solve: 2x+3=7", "2x+3=7", "solve"),
    ("proofread this sentence he go to school", "he go to school", "proofread this sentence"),
    ("把下面这句话翻译成英文:你好", "你好", "把下面这句话翻译成英文"),
    ("把下面这句话翻译成英文：“你好，世界”", "你好，世界", "把下面这句话翻译成英文"),
    ("把早上好翻译成法语", "早上好", None),
    ("你好用英语怎么说", "你好", "用英语怎么说"),
    ("如何用英语说你好", "你好", None),
    ("请总结以下文章：\n春天来了。\n花开了。", "春天来了。\n花开了。", "请总结以下文章"),
    ("春天来了。\n花开了。\n\n请用三句话总结上面的文章", "春天来了。\n花开了。", "请用三句话总结上面的文章"),
    ("这条评论是什么情感？屏幕太暗了", "屏幕太暗了", "这条评论是什么情感？"),
]


@pytest.mark.parametrize(("query", "payload", "instruction"), APART)
def test_a_query_is_taken_apart(query: str, payload: str, instruction: str | None) -> None:
    found = split(query)
    assert found.payload_text == payload
    if instruction is not None:
        assert found.instruction_text == instruction


@pytest.mark.parametrize(
    "query",
    [
        "What is the capital of France?",
        "Meeting at 10:30 tomorrow, what should I bring?",
        'What does "carpe diem" mean?',
        "Who wrote https://example.com/page",
        "write me a poem about the sea",
        "法国的首都是哪里？",
        "hello",
        "",
        "   ",
        ":",
        "```",
        '"',
    ],
)
def test_where_nothing_is_quoted_or_given_there_is_no_payload(query: str) -> None:
    found = split(query)
    assert found.payload is None
    assert found.instruction_text == query.strip()


PIECES = [*"ab:：\n\"'“”「」`-—.?？。 ", "```", "this text", "Translate ", "把", " to French"]


@settings(max_examples=150)
@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_payload_and_instruction_are_apart_and_within_the_query(query: str) -> None:
    found = split(query)
    spans = [span for span in (*found.instruction, found.payload) if span is not None]
    assert all(0 <= span.start < span.end <= len(query) for span in spans)
    ordered = sorted(spans, key=lambda span: span.start)
    assert all(first.end <= second.start for first, second in pairwise(ordered))


@settings(max_examples=100)
@given(st.text(alphabet=st.characters(blacklist_categories=["Cs", "Zs", "Cc"]), min_size=3, max_size=80))
def test_what_follows_a_plain_instruction_is_the_payload(text: str) -> None:
    found = split(f"Which intent does the following message have?\n\n{text}")
    assert found.payload_text
    assert found.payload_text in text
