"""Recognises prompts that a template has already written, by the fixed sentences of the templates.

Such prompts come from another gateway, or from an application that stores sent prompts. A second template would not
help.
"""

import re
from collections.abc import Iterable

from gateway.prompt.templates.template import Template

SHORTEST = 50  # characters; users rarely write such long sentences themselves
_TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}|\n", re.S)
_SENTENCE = re.compile(r"[^.!?。！？]+[.!?。！？]?")


def fingerprints(templates: Iterable[Template]) -> tuple[str, ...]:
    """Return the long sentences without slots in the templates' bodies."""
    sentences = {
        sentence.strip()
        for template in templates
        for part in template.parts
        for piece in _TAG.split(part.source)
        for sentence in _SENTENCE.findall(piece)
    }
    return tuple(sorted(sentence for sentence in sentences if weight(sentence) >= SHORTEST))


def weight(text: str) -> float:
    """Return the length of a text. A Latin letter counts as one, a Chinese character as three."""
    return len(text) if text.isascii() else sum(1 if character < "\u2e80" else 3 for character in text)


class FixedSentences:
    """Finds fixed sentences in texts.

    A sentence with inner words is searched for only if the text contains the longest inner word of such a sentence.
    Looking up words is much cheaper than searching for sentences.
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        inside = {sentence: max(sentence.split()[1:-1], key=len, default="") for sentence in sentences}
        self._worded = tuple([sentence for sentence, word in inside.items() if word])
        self._words = frozenset(filter(None, inside.values()))
        self._others = tuple([sentence for sentence, word in inside.items() if not word])
        self._others_ascii = any(map(str.isascii, self._others))

    def occur_in(self, text: str) -> bool:
        """Return whether the text contains one of the sentences."""
        if not self._words.isdisjoint(text.split()) and any(map(text.__contains__, self._worded)):
            return True
        return (self._others_ascii or not text.isascii()) and any(map(text.__contains__, self._others))
