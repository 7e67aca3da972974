"""Uses the word lists of all languages to recognise tasks about a text.

All functions expect lower-case text. They search for single words first, since patterns take ten times as long.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from gateway.prompt.language.language_names import LANGUAGE_WORD
from gateway.prompt.language.vocabulary import VOCABULARY, Derived, LanguageWords

TASK_CHARS = 400
"""The maximum length of a task in characters. A longer text is not an instruction about another text."""

CLOSING_CHARS = 40
SHORTEST_REQUEST = 6  # characters, with the polite words
_WORD = re.compile(r"\w+")


@lru_cache(maxsize=64)  # several rules ask about the same text
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text))


class TaskWording:
    """The words and patterns that show a task about a text, in one language."""

    def __init__(self, words: LanguageWords) -> None:
        task = words.task
        self.spaced = words.spaced
        self._texts = frozenset(task.texts)
        self._hyphened = tuple(text for text in task.texts if not text.isalnum())
        self._pointers = frozenset(pointer.split()[-1] for pointer in task.pointers)
        self._links = frozenset((*task.questions, task.article))
        self._about = frozenset(task.about)
        self._kinds = frozenset(task.kinds)
        self._back = frozenset(task.back)
        text, article = words.whole(task.texts), task.article or "(?!)"
        verbs, wishes = "|".join(task.verbs) or "(?!)", "|".join(task.wishes)
        polite = rf"(?:(?:{'|'.join(task.polite)})\W+)*" if task.polite else ""
        self._begins = re.compile(rf"\W*{polite}(?:{wishes})?(?:{verbs})\b")
        self._sequel = re.compile(rf"\W*(?:{'|'.join(task.sequels) or '(?!)'})")
        self._marks = re.compile("|".join(task.marks) or "(?!)")
        the_text = rf"\b{article} (?:[\w-]+ )?{text}"
        self._asks = re.compile(
            rf"{the_text}|{text}.*\?|^\W*{text}\W*$|\b(?:{'|'.join(task.questions) or '(?!)'})\b.*{text}"
        )
        self._the_text = re.compile(the_text)
        self._unspaced = {
            name: re.compile(words.whole(alternatives))
            for name, alternatives in (("about", task.about), ("kinds", task.kinds), ("back", task.back))
        }
        bound = r"\b" if words.spaced else ""
        self._offers = re.compile(rf"{bound}(?:{'|'.join(task.offers) or '(?!)'})\W*$")
        self.introduction = re.compile(rf"\W*{words.whole(task.introductions)}" if task.introductions else "(?!)")

        opening, closing = "|".join(task.openings), "|".join(task.closings)
        self._opening = re.compile(rf"\W*(?:{opening})+" if opening else r"(?!)", re.IGNORECASE)
        self._asking = re.compile("|".join(task.asking) or r"(?!)", re.IGNORECASE)
        self._question_end = task.question_end
        self._plain_forms = task.plain_forms
        self._closing = re.compile(rf"(?:{closing})\Z" if closing else r"(?!)", re.IGNORECASE)

    def without_frame(self, text: str) -> str:
        """Return the text without its polite opening and closing. If an opening is removed, the final question mark is
        removed too.
        """
        opening = self._opening.match(text)
        framed = opening is not None and opening.end() < len(text)
        if opening is not None and framed:
            text = self._plain_verb(text[opening.end() :].rstrip("?？ "))
        closing = self._closing.search(text, max(0, len(text) - CLOSING_CHARS))
        if closing is not None and closing.start() > 0:
            return text[: closing.start()]
        return text.removesuffix(self._question_end) if framed and self._question_end else text

    def request_in(self, sentence: str) -> str | None:
        """Return the part of the sentence from its request on, or None if the sentence does not ask politely."""
        asking = self._asking.search(sentence)
        return sentence[asking.end() :] if asking is not None else None

    def _plain_verb(self, request: str) -> str:
        """Return the request with its first verb in the plain form: `compare` for `comparing`."""
        verb, space, rest = request.partition(" ")
        plain = self._plain_forms.get(verb.lower()) if self._plain_forms else None
        return f"{plain}{space}{rest}" if plain else request

    def is_task(self, text: str) -> bool:
        if self._begins.match(text) or self._marks.search(text):
            return True
        if not self.spaced:
            return False
        words = _words(text)
        if not words.isdisjoint(self._pointers):
            return True
        if not self._has_text(text, words):
            return False
        linked = "?" in text or len(words) <= 2 or not words.isdisjoint(self._links)
        return linked and bool(self._asks.search(text))

    def commands(self, text: str) -> bool:
        return bool(self._begins.match(text))

    def is_sequel(self, text: str) -> bool:
        return bool(self._sequel.match(text))

    def is_about(self, text: str) -> bool:
        if not self.spaced:
            return bool(self._unspaced["about"].search(text))
        words = _words(text)
        return not words.isdisjoint(self._about) or self._has_text(text, words)

    def names_kind(self, text: str) -> bool:
        if not self.spaced:
            return bool(self._unspaced["kinds"].search(text))
        # only a text that contains one of these words anywhere is worth splitting into words
        return any(map(text.__contains__, self._kinds)) and not self._kinds.isdisjoint(_words(text))

    def points_back(self, text: str) -> bool:
        if not self.spaced:
            return bool(self._unspaced["back"].search(text))
        return not self._back.isdisjoint(_words(text)) or bool(self._the_text.search(text))

    def offers(self, text: str) -> bool:
        return bool(self._offers.search(text))

    def _has_text(self, text: str, words: frozenset[str]) -> bool:
        return not words.isdisjoint(self._texts) or any(word in text for word in self._hyphened)


# unspaced languages first: their characters show the language
_wordings = Derived(
    lambda: tuple(sorted((TaskWording(words) for words in VOCABULARY.values()), key=lambda wording: wording.spaced))
)
_spaced = Derived(lambda: tuple(wording for wording in _wordings() if wording.spaced))


def _wordings_for(text: str) -> tuple[TaskWording, ...]:
    """Return the languages to test. Only spaced languages are tested for a text in plain ASCII."""
    return _spaced() if text.isascii() else _wordings()


def without_frame(text: str) -> str:
    """Return the request without polite words: `summarise this` for `Could you please summarise this?`"""
    for wording in _wordings_for(text):
        text = wording.without_frame(text) or text
    return text


def request_in(sentence: str) -> str:
    """Return the part of a sentence from its request on: `please translate it` for `I am in a hurry, so please
    translate it`. The result is "" if the sentence has no polite words.
    """
    for wording in _wordings_for(sentence):
        request = wording.request_in(sentence)
        if request is not None and len(request) >= SHORTEST_REQUEST:
            return request
    return ""


def commands(sentence: str) -> bool:
    """Return whether the sentence begins with a verb that gives a task."""
    return any(wording.commands(sentence) for wording in _wordings_for(sentence))


def is_sequel(sentence: str) -> bool:
    """Return whether the sentence begins like the second of several tasks, such as `Then write a poem about it.`"""
    return any(wording.is_sequel(sentence) for wording in _wordings_for(sentence))


def is_task(text: str) -> bool:
    """Return whether the text is a task about another text."""
    return _is_task(text, VOCABULARY.changes)


@lru_cache(maxsize=64)
def _is_task(text: str, _changes: int) -> bool:
    return 0 < len(text.strip()) <= TASK_CHARS and any(wording.is_task(text) for wording in _wordings_for(text))


def is_about_text(sentence: str) -> bool:
    """Return whether the sentence is a task about a text rather than a question about the world."""
    return any(wording.is_about(sentence) for wording in _wordings_for(sentence)) and is_task(sentence)


def names_kind(text: str) -> bool:
    """Return whether the text names a kind of label, such as intent or sentiment."""
    return any([wording.names_kind(text) for wording in _wordings_for(text)])


def points_back(text: str) -> bool:
    """Return whether the text refers to an earlier text, with words such as "the above"."""
    return any([wording.points_back(text) for wording in _wordings_for(text)])


def offers(text: str) -> bool:
    """Return whether the text ends with words that introduce a list of choices. A list after such words is not a
    payload.
    """
    return any([wording.offers(text) for wording in _wordings_for(text)])


def introduces(text: str) -> bool:
    """Return whether the text begins with words that introduce a payload."""
    return any(wording.introduction.match(text) for wording in _wordings_for(text))


def _led() -> Iterator[tuple[str, re.Pattern[str], bool]]:
    for words in VOCABULARY.values():
        text = words.whole(words.task.texts)
        for rule, pattern in words.led.items():
            filled = pattern.replace("LANG", LANGUAGE_WORD.lower()).replace("TEXT", text)
            yield rule, re.compile(filled, re.DOTALL), words.spaced


_led_patterns = Derived(lambda: tuple(_led()))


def verb_led(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield each rule that matches the whole text as a verb with its object, such as `translate good morning into
    french`.

    Each item has the name of the rule and the match.
    """
    spaced_only = text.isascii()
    for rule, pattern, spaced in _led_patterns():
        if spaced or not spaced_only:
            match = pattern.match(text)
            if match:
                yield rule, match
