"""Sentences of templates are found in texts wherever they stand, whatever they are made of."""

import pytest

from gateway.prompt.classifier.fingerprints import FixedSentences

OTHER = "Write the summary in the words of the text; add nothing."
SENTENCES = (
    "Write the summary in the words of the text, and add nothing.",
    "Keep numbers.",
    "https://example.com/a-sentence-of-one-word",
    "请用原文的语言写一个简短的摘要，不要添加任何内容。",
)


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("around", ["{}", "before {} after", "before:{}after", "前{}后", "\n{}\n"])
def test_a_sentence_is_found_wherever_it_stands(sentence: str, around: str) -> None:
    assert FixedSentences(SENTENCES).occur_in(around.format(sentence))


@pytest.mark.parametrize(
    "text",
    ["", "Write the summary", OTHER, "Keep  numbers.", "请"],
)
def test_words_of_a_sentence_are_not_the_sentence(text: str) -> None:
    assert not FixedSentences(SENTENCES).occur_in(text)


def test_without_sentences_nothing_is_found() -> None:
    assert not FixedSentences(()).occur_in("any text, 任何文字")
