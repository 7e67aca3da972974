"""What a prompt itself settles about its answer: format, length, language and the like.

Rules over the words of each language's file (`[given]`). They err on the side of *settled*: a template then leaves its
own sentence on it out, which costs little.
"""

import re
from collections.abc import Iterator

from gateway.prompt.language.language_names import LANGUAGE_WORD
from gateway.prompt.language.vocabulary import VOCABULARY, GivenWords, LanguageWords, any_of, folded

HEAD_CHARS, TAIL_CHARS = 1_200, 600
"""The middle of a longer text is what the request is about, not the request."""

FIELDS = GivenWords.__struct_fields__
_WORD = re.compile(r"[a-z']+")
_PLAIN = re.compile(r"[a-z]+")


class Settled:
    """For each field, the words that settle it; "" where the prompt leaves it open. A field is looked for when it is
    first read, by the rules of every language: prompts mix them."""

    def __init__(self, text: str) -> None:
        short = len(text) <= HEAD_CHARS + TAIL_CHARS
        self._low = folded(text if short else f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}")
        self._words = dict.fromkeys(_WORD.findall(self._low))

    def __getattr__(self, name: str) -> str:
        if name not in FIELDS:
            raise AttributeError(name)
        found = next((word for word in self._words if word in _single[name]), "") or self._matched(name)
        setattr(self, name, found)
        return found

    def _matched(self, name: str) -> str:
        patterns = _spaced if self._low.isascii() else _all
        match = patterns[name].search(self._low)
        return match[0] if match else ""


def _patterns(languages: list[LanguageWords]) -> dict[str, re.Pattern[str]]:
    return {name: any_of(_parts(name, languages)) for name in FIELDS}


def _parts(name: str, languages: list[LanguageWords]) -> Iterator[str]:
    """The patterns of a field that are more than a single word."""
    for words in languages:
        yield words.whole(entry for entry in getattr(words.given, name) if not _is_single(entry, words))
    if name == "language":
        yield LANGUAGE_WORD.lower()


def _is_single(entry: str, words: LanguageWords) -> bool:
    return words.spaced and _PLAIN.fullmatch(entry) is not None


_single = {
    name: frozenset(
        entry for words in VOCABULARY.values() for entry in getattr(words.given, name) if _is_single(entry, words)
    )
    for name in FIELDS
}
"""Most words stand alone. Looking them up takes a hundredth of the time that a pattern takes."""
_spaced = _patterns([words for words in VOCABULARY.values() if words.spaced])
_all = _patterns(list(VOCABULARY.values()))
