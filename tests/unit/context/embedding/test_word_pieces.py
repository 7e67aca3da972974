"""Word by word or all at once: the pieces are the same, whatever the text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gateway.context.embedding.sentence import SentenceEmbedder
from gateway.context.embedding.word_pieces import LONGEST_WORD, MOST_WORDS, WordPieces

ascii_texts = st.text(st.characters(max_codepoint=127), max_size=200)
words = st.sampled_from(
    ["Summarise", "the", "[CLS]", "[", "SEP]", "don't", "e-mail", "3.14", "x" * 120, "naïve", "摘要"]
)
texts = ascii_texts | st.lists(words, max_size=40).map(" ".join) | st.text(max_size=60)


@pytest.fixture(scope="module")
def tokenizer(minilm: SentenceEmbedder) -> Tokenizer:
    return minilm.tokenizer()


def whole(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


@settings(max_examples=300)
@given(texts=st.lists(texts, min_size=1, max_size=4))
def test_the_pieces_are_the_tokenizers(texts: list[str], tokenizer: Tokenizer) -> None:
    pieces = WordPieces(tokenizer)
    for text in [*texts, *texts]:  # the second time from memory
        assert pieces.ids(text) == whole(tokenizer, text)


def test_a_long_text_is_not_cut(tokenizer: Tokenizer) -> None:
    text = "The committee met on Tuesday. " * 100
    assert WordPieces(tokenizer).ids(text) == whole(tokenizer, text)


def test_what_returned_ids_become_does_not_change_what_is_known(tokenizer: Tokenizer) -> None:
    pieces = WordPieces(tokenizer)
    pieces.ids("house").append(1)
    assert pieces.ids("house") == whole(tokenizer, "house")


def test_words_do_not_fill_the_memory(tokenizer: Tokenizer) -> None:
    pieces = WordPieces(tokenizer)
    pieces.ids("z" * (LONGEST_WORD + 1))
    assert not pieces._known
    for number in range(MOST_WORDS + 10):
        pieces.ids(f"w{number}")
    assert len(pieces._known) <= MOST_WORDS


def test_a_tokenizer_of_another_kind_is_asked_itself() -> None:
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    other = Tokenizer(WordLevel({"Red": 0, "red": 1, "?": 2}, unk_token="?"))
    other.pre_tokenizer = WhitespaceSplit()
    assert WordPieces(other).ids("Red red.") == [0, 2]
