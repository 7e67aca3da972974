"""Decides, by words alone, whether a request asks one known question about a text.

Each question has several wordings. A content word that is in none of the wordings shows that the request asks a
different question, as in "Is the *customer* *angry*?".
"""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from gateway.prompt.language.invariants import find_options
from gateway.prompt.language.values import items_of
from gateway.prompt.language.vocabulary import VOCABULARY, Derived, LanguageWords, any_of, folded

STEM_CHARS = 5
GAP = "..."
"""Stands for the text that a question is about, in a request or a wording."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_CHARACTER = re.compile(r"[^\W_]")
_SENTENCE = re.compile(r"[.?!:;。？！：；\n\"“”'「」]+\s*")
_ASKS = re.compile(r"[?？]")


class QuestionWording(Struct, frozen=True):
    """The words in all wordings of one question. `starters` are the first words of sentences in the wordings, such as
    `is` or `how`.
    """

    language: str
    known: frozenset[str]
    starters: frozenset[str]
    openers: frozenset[str] = frozenset()
    """The stems of content words that begin a sentence in the wordings, such as `correct`. A request with such a word
    asks something even if it has no question mark.
    """

    def why_other(self, request: str, labels: frozenset[str]) -> str:
        """Return the reason why a request asks a different question, or "" if it asks this question.

        In `request`, `GAP` replaces the text. `labels` are the answers to this question, in the form that `label_of`
        returns.
        """
        words = VOCABULARY[self.language]
        options = find_options(request)
        if options:
            named = frozenset(map(label_of, items_of(request[slice(*options)])))
            if named != labels:
                return f"it names other labels: {', '.join(sorted(named ^ labels)[:3])}"
            request = f"{request[: options[0]]} {request[options[1] :]}"
        elif missing := _missing(labels, folded(request), words):
            return f"it names only some of the labels, not {', '.join(missing[:3])}"
        request = _forms()[self.language].sub(" ", folded(request))
        other = [token for token in _tokens(request, words) if _stem(token, words) not in self.known]
        if other:
            return f"it has words that the question does not have: {', '.join(other[:3])}"
        begun = sorted(_starters(request, words) - self.starters)
        if begun:
            return f"it asks {begun[0]!r}"
        asks = _ASKS.search(request) or any(_has(request, ask, words) for ask in words.question.asks)
        if not asks and self.openers.isdisjoint([_stem(token, words) for token in _tokens(request, words)]):
            return "it asks nothing"
        return ""


def wording_of(language: str, questions: Iterable[str]) -> QuestionWording:
    """Collect the words of all wordings of one question. In each wording, `GAP` replaces the text."""
    words = VOCABULARY[language]
    own = words.question
    lists = (*own.stops, *own.frame, *own.asks, *own.labels)
    known = {_stem(token, words) for entry in lists for token in _tokens(entry, words)}
    starters: set[str] = set()
    openers: set[str] = set()
    for question in map(folded, questions):
        known |= {_stem(token, words) for token in _tokens(question, words)}
        starters |= _starters(question, words)
        openers |= {_stem(word, words) for word in _first_words(question)} if words.spaced else set()
    return QuestionWording(language, frozenset(known), frozenset(starters), frozenset(openers - {*own.stops}))


def label_of(text: str) -> str:
    """Return a label in the form for comparisons: lower case, with blanks in place of underscores and hyphens."""
    return " ".join(re.sub(r"[_\-]", " ", text).casefold().split())


def _tokens(text: str, words: LanguageWords) -> Iterator[str]:
    for match in (_WORD if words.spaced else _CHARACTER).finditer(text):
        yield match[0].replace("’", "'").removesuffix("'s")


def _stem(token: str, words: LanguageWords) -> str:
    if not words.spaced:
        return token
    return token[:STEM_CHARS] if len(token) > STEM_CHARS else token.removesuffix("s")


def _starters(text: str, words: LanguageWords) -> set[str]:
    """Return the words in the text that begin a question, such as `who` or `is`."""
    if not words.spaced:
        return {starter for starter in words.question.starters if starter in text}
    return _first_words(text) & set(words.question.starters)


def _first_words(text: str) -> set[str]:
    return {found[0] for sentence in _SENTENCE.split(text) if (found := _WORD.search(sentence))}


def _missing(labels: frozenset[str], request: str, words: LanguageWords) -> list[str]:
    """Return the labels that a request does not name, if it names at least one other label.

    A label also counts as named if it contains a named label. If a request names `spam`, `not spam` counts as named.
    """
    named = [label for label in labels if _has(request, label, words)]
    return sorted(label for label in labels if named and not any(_has(label, name, words) for name in named))


def _has(text: str, word: str, words: LanguageWords) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None if words.spaced else word in text


_forms = Derived(
    lambda: {language: any_of([*words.question.forms] or [r"(?!)"]) for language, words in VOCABULARY.items()}
)
