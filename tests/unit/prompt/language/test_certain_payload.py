"""A query is cut in two only where nobody can doubt what is the text and what is asked."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.prompt.language.certain_payload import certain
from gateway.prompt.language.payload import split

DOUBTFUL = [
    "what is the difference between a levee and an embankment? Please respond to me only in Korean.",
    "Summarise this: The lamp costs 40 euros, is red, and ships on Monday.\n\nDon't mention the price.",
    "Summarise this:\nThe lamp costs 40 euros, is red, and ships on Monday.\n\nDon't mention the price.",
    "Summarise this: The lamp is red. Reply in ALL CAPS and in German.",
    "fix the grammar:\nme go home\nand tell me why it was wrong",
    "Summarise: we study two closely related tasks: intent detection and slot filling.",
    'Translate to French: "Good morning"\nThen explain each word in English.',
    'fix the grammar: "me go home"\nand tell me why it was wrong',
    'how do you say "I would like a table for two" in Italian?',
    'Fix "me go home" and "he go home" please',
    "Explain:\n```\na\n```\nand\n```\nb\n```",
    "The cat sat.\nIt ran.\n\nSummarise the above.",
    "把早上好翻译成法语",
    "总结：这盏灯四十欧元。\n不要提价格。",
]
CERTAIN = [
    ('Our chatbot heard "remind me to water the plants". Which intent is it?', "remind me to water the plants"),
    ('Classify the text "I lost my card".', "I lost my card"),
    ("Fix this bug:\n```python\nprint(1)\n```\nIt fails", "print(1)"),
    ("Translate the following into German:\n\nHello {name}, your code is 8812.", "Hello {name}, your code is 8812."),
    ("把下面这句话翻译成英文：“你好，世界”", "你好，世界"),
    ("概括下面的内容\n商店工作日晚上8点关门。", "商店工作日晚上8点关门。"),
]


@pytest.mark.parametrize("query", DOUBTFUL)
def test_where_the_text_is_in_doubt_the_query_stays_whole(query: str) -> None:
    parts = certain(split(query))

    assert (parts.payload, parts.instruction_text) == (None, query)


@pytest.mark.parametrize(("query", "payload"), CERTAIN)
def test_what_is_quoted_fenced_or_the_last_line_is_the_text(query: str, payload: str) -> None:
    assert certain(split(query)).payload_text == payload


@settings(max_examples=40)
@given(
    st.sampled_from(["\n\n", "\n", " ", "。"]), st.sampled_from(["Don't mention it.", "In German please", "不要提。"])
)
def test_what_is_asked_behind_a_text_is_never_data(gap: str, constraint: str) -> None:
    for text in (
        "Summarise this: The sea is wide",
        'Translate: "The sea is wide"',
        "Summarise this:\nThe sea\nis wide",
    ):
        assert constraint not in certain(split(f"{text}{gap}{constraint}")).payload_text
