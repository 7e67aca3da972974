"""Looks up the word pieces of a text word by word, since BERT's tokenizer always splits the same word in the same way.

A tokenizer takes some 130 µs for 300 characters, because it records the position of each piece. Words repeat, so it
takes only a sixth of that time to look them up. A text that is not plain ASCII is looked up by the parts between its
spaces. If the tokenizer is not BERT's lower-casing one, it is called for every text.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST_WORDS = 50_000
LONGEST_WORD = 40  # characters; longer strings are not words and would fill the cache
_PLAIN = re.compile(r"[\t\n\r -~]*")
# in ASCII, BERT treats each character other than letters and digits as a separate word
_WORD = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")
# matches text between white space, which no tokenizer includes in a word
_BETWEEN_SPACES = re.compile(r"[^ \t\n\r]+")


class WordPieces:
    """Caches the word pieces of each word. Several threads may use it: two that look up the same new word write the
    same entry."""

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
        # `[CLS]` in a text is a single piece, which looking up word by word would miss
        self._added = tuple(token.content for token in tokenizer.get_added_tokens_decoder().values())
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """The token ids, without special tokens."""
        if not self._by_word or any(map(text.__contains__, self._added)):
            return self._encoded(text)
        plain = _PLAIN.fullmatch(text) is not None
        words = _WORD.findall(text.lower()) if plain else _BETWEEN_SPACES.findall(text)
        try:
            return list(chain.from_iterable(map(self._known.__getitem__, words)))
        except KeyError:  # a new word
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
