"""Finds what a prompt lacks and what its answer needs, by word lists. This takes microseconds.

The results are hints for notes, routing and templates; they never cause a rewrite. The words of each language are in
its file (`[needs]`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

from gateway.prompt.classifier.rawness import MEASURED
from gateway.prompt.classifier.view import Look
from gateway.prompt.language.vocabulary import VOCABULARY, Derived

KINDS = ("example", "absent", "reasoning", "tool")
"""The fields of a language's `[needs]`."""
LONG_CHARS = 3000
"""A prompt with more characters than this is mostly text to work on, which a small context window cannot hold."""
_WORD = re.compile(r"[a-z][a-z.'-]*[a-z]|[a-z]")
_ENTRY = re.compile(r"[^\W\d_][^\W\d_.'-]*[.\w-]*")
_SUM = re.compile(r"\d\s*[-+*/×÷^=]\s*\d|\d\s*%")
_FORMAT, _CONSTRAINTS, _NUMBERS, _AUDIENCE, _QUESTION, _POLITE, _PASTED, _QUOTES, _WORDS = (
    MEASURED.index(name)
    for name in (
        "output format",
        "constraints",
        "numbers",
        "audience or role",
        "question",
        "polite frame",
        "pasted text",
        "quotes",
        "words",
    )
)
_DAMPED_FEW = 1.4  # ln(1 + 3), rounded up: one to three words name a topic, not a task


class _Entries(Struct, frozen=True):
    """The entries of one kind in one language. `words` must be whole words of the prompt, and `phrases` may occur
    anywhere.
    """

    words: frozenset[str] = frozenset()
    phrases: tuple[str, ...] = ()

    def occur(self, text: str, words: frozenset[str]) -> bool:
        return not self.words.isdisjoint(words) or any(map(text.__contains__, self.phrases))


def lacks(seen: Look, measured: list[float], language: str, *, intent: bool) -> tuple[str, ...]:
    """Return what the prompt lacks: any of task, context, format, constraints and examples.

    `measured` is the result of `rawness.measures`. A prompt with a known intent has a task.
    """
    text, words = _lower_and_words(seen.request)
    task = intent or measured[_QUESTION] or measured[_POLITE] or measured[_WORDS] > _DAMPED_FEW
    given = (
        ("task", bool(task)),
        ("context", bool(seen.rule or measured[_AUDIENCE] or measured[_PASTED] or measured[_QUOTES])),
        ("format", measured[_FORMAT] > 0.0),
        ("constraints", measured[_CONSTRAINTS] > 0.0 or measured[_NUMBERS] > 0.0),
        ("examples", _occurs("example", language, text, words)),
    )
    return tuple(name for name, there in given if not there)


def needs(seen: Look, language: str) -> tuple[str, ...]:
    """Return what an answer seems to need: any of context, long context, reasoning and a tool."""
    text, words = _lower_and_words(seen.request)
    answers = (
        ("context", not seen.rule and _occurs("absent", language, text, words)),
        ("long context", len(seen.text) > LONG_CHARS),
        ("reasoning", _occurs("reasoning", language, text, words) or bool(_SUM.search(text))),
        ("a tool", not seen.rule and _occurs("tool", language, text, words)),
    )
    return tuple(name for name, there in answers if there)


@lru_cache(maxsize=8)  # `lacks` and `needs` are called for the same prompt
def _lower_and_words(request: str) -> tuple[str, frozenset[str]]:
    text = request.lower()
    return text, frozenset(_WORD.findall(text))


def _occurs(kind: str, language: str, text: str, words: frozenset[str]) -> bool:
    entries = _table().get((kind, language))
    return entries is not None and entries.occur(text, words)


@Derived
def _table() -> dict[tuple[str, str], _Entries]:
    return {
        (kind, language): _entries(getattr(words.needs, kind), spaced=words.spaced)
        for language, words in VOCABULARY.items()
        for kind in KINDS
    }


def _entries(written: Iterable[str], *, spaced: bool) -> _Entries:
    words = frozenset(entry for entry in written if spaced and _ENTRY.fullmatch(entry))
    return _Entries(words, tuple(entry for entry in written if entry not in words))
