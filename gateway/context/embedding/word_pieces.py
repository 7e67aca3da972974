"""The word pieces of a text, word by word: BERT's vocabulary cuts a word alike wherever it stands.

A tokenizer takes some 130 µs for 300 characters, because it keeps where each piece stood. Words repeat,
so looking each up takes a sixth of that. Of a text that is not plain ASCII, what stands between spaces is looked up
whole; where the tokenizer is not one of BERT's that lower-cases, everything goes to it.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST_WORDS = 50_000
LONGEST_WORD = 40  # characters; what is longer is no word, and would fill the memory
_PLAIN = re.compile(r"[\t\n\r -~]*")
# in ASCII, BERT takes whatever is neither letter nor digit as a word of its own
_WORD = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")
# the white space that is no part of a word for any tokenizer
_BETWEEN_SPACES = re.compile(r"[^ \t\n\r]+")


class WordPieces:
    """Used by one thread at a time, or by several: a word that two look up at once is written twice alike."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        self._tokenizer = tokenizer
        normalizer = tokenizer.normalizer
        self._by_word = (
            isinstance(normalizer, BertNormalizer)
            and bool(normalizer.lowercase)
            and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        )
        # `[CLS]` in a text is one piece, which no word can say
        self._added = tuple(token.content for token in tokenizer.get_added_tokens_decoder().values())
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """As the tokenizer gives them, without special tokens around."""
        if not self._by_word or any(map(text.__contains__, self._added)):
            return self._encoded(text)
        plain = _PLAIN.fullmatch(text) is not None
        words = _WORD.findall(text.lower()) if plain else _BETWEEN_SPACES.findall(text)
        try:
            return list(chain.from_iterable(map(self._known.__getitem__, words)))
        except KeyError:  # a word that is looked up for the first time
            return [piece for word in words for piece in self._known.get(word) or self._looked_up(word)]

    def _looked_up(self, word: str) -> list[int]:
        pieces = self._encoded(word)
        if len(word) <= LONGEST_WORD:
            if len(self._known) >= MOST_WORDS:
                self._known.clear()
            self._known[word] = pieces
        return pieces

    def _encoded(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids
