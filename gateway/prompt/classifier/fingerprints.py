"""The fixed words of the templates, by which a prompt that one of them has already written is known again.

A gateway behind a gateway, or an application that keeps what was sent, brings such prompts: to put a
template around a template helps nobody.
"""

import re
from collections.abc import Iterable

from gateway.prompt.templates.template import Template

SHORTEST = 50  # characters; a shorter sentence people write themselves
_TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|\n", re.S)
_SENTENCE = re.compile(r"[^.!?。！？]+[.!?。！？]?")


def fingerprints(templates: Iterable[Template]) -> tuple[str, ...]:
    """The long sentences that stand in the templates' bodies as they are."""
    found = {
        sentence.strip()
        for template in templates
        for part in template.parts
        for piece in _TAG.split(part.source)
        for sentence in _SENTENCE.findall(piece)
    }
    return tuple(sorted(one for one in found if weight(one) >= SHORTEST))


def weight(text: str) -> float:
    """Its length in Latin letters: a Chinese character says about as much as three."""
    return len(text) if text.isascii() else sum(1 if character < "\u2e80" else 3 for character in text)


class FixedSentences:
    """Sentences to be found in texts. Words are found at once where sentences are looked for one by one, so a text is
    searched only if it has a word that stands inside of one, between blanks."""

    def __init__(self, sentences: Iterable[str]) -> None:
        inside = {sentence: max(sentence.split()[1:-1], key=len, default="") for sentence in sentences}
        self._worded = tuple([sentence for sentence, word in inside.items() if word])
        self._words = frozenset(filter(None, inside.values()))
        self._others = tuple([sentence for sentence, word in inside.items() if not word])
        self._others_ascii = any(map(str.isascii, self._others))

    def stand_in(self, text: str) -> bool:
        """Whether one of them is in the text."""
        if not self._words.isdisjoint(text.split()) and any(map(text.__contains__, self._worded)):
            return True
        return (self._others_ascii or not text.isascii()) and any(map(text.__contains__, self._others))
