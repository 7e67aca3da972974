"""Finds which properties of the answer a prompt specifies, such as format, length and language.

The words for each property are in each language's file (`[given]`). In doubt, a property counts as specified: the
template then omits its own sentence about it, which does little harm.
"""

import re
from collections.abc import Iterator

from gateway.prompt.language.language_names import LANGUAGE_WORD
from gateway.prompt.language.vocabulary import VOCABULARY, Derived, GivenWords, LanguageWords, any_of, folded

HEAD_CHARS, TAIL_CHARS = 1_200, 600
"""The maximum length of a text that is read whole. Of a longer text, only the start and the end are read, since
requests are usually there.
"""

FIELDS = GivenWords.__struct_fields__
_WORD = re.compile(r"[a-z']+")
_PLAIN = re.compile(r"[a-z]+")


class Settled:
    """For each property, the words of the prompt that specify it, or "".

    The search for a property starts when its field is first read. The search uses the words of all languages, since
    prompts mix languages.
    """

    def __init__(self, text: str) -> None:
        short = len(text) <= HEAD_CHARS + TAIL_CHARS
        self._low = folded(text if short else f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}")
        self._words = dict.fromkeys(_WORD.findall(self._low))

    def __getattr__(self, name: str) -> str:
        if name not in FIELDS:
            raise AttributeError(name)
        single = _single()[name]
        words = next(filter(single.__contains__, self._words), "") or self._matched(name)
        setattr(self, name, words)
        return words

    def _matched(self, name: str) -> str:
        patterns = _spaced() if self._low.isascii() else _all()
        match = patterns[name].search(self._low)
        return match[0] if match else ""


def _patterns(languages: list[LanguageWords]) -> dict[str, re.Pattern[str]]:
    return {name: any_of(_parts(name, languages)) for name in FIELDS}


def _parts(name: str, languages: list[LanguageWords]) -> Iterator[str]:
    """Yield the patterns for a property. Entries that are single words are left out."""
    for words in languages:
        yield words.whole(entry for entry in getattr(words.given, name) if not _is_single(entry, words))
    if name == "language":
        yield LANGUAGE_WORD.lower()


def _is_single(entry: str, words: LanguageWords) -> bool:
    return words.spaced and _PLAIN.fullmatch(entry) is not None


@Derived
def _single() -> dict[str, frozenset[str]]:
    """Return the single words for each property. Looking up a word takes a hundredth of the time of matching a
    pattern.
    """
    return {
        name: frozenset(
            entry for words in VOCABULARY.values() for entry in getattr(words.given, name) if _is_single(entry, words)
        )
        for name in FIELDS
    }


_spaced = Derived(lambda: _patterns([words for words in VOCABULARY.values() if words.spaced]))
_all = Derived(lambda: _patterns(list(VOCABULARY.values())))
