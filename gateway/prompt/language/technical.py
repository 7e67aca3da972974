"""Finds what shows that a text is about a program, a machine or code.

A technical name (`nginx`) shows it, an everyday word of machines (`printer`), or a sign of code (`foo.bar(`).
"""

import re

from gateway.prompt.language.vocabulary import VOCABULARY, Derived, any_of

_WORD = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+|\+\+|#)?", re.I)
_SIGN = re.compile(
    r"[a-z][A-Z]|\w\.\w{1,6}\(|[`_$\\{}<>|=]|\b[A-Z]{3,}s?\b|\w\.[a-z]{2,4}\b|(?<![\w-])--?[a-z]|\b[a-z]+\d|::"
    r"|\b[a-z]+(?:error|exception)\b"
)


def find_technical(text: str) -> tuple[int, int] | None:
    """Return the start and the end of the first name or word, else of the first sign of code, or None."""
    known = _words()
    for match in _WORD.finditer(text):
        if match[0].lower() in known:
            return match.span()
    found = None if text.isascii() else _parts().search(text)
    found = found or _SIGN.search(text)
    return found.span() if found else None


@Derived
def _words() -> frozenset[str]:
    """Return the names and words of all spaced languages, since prompts mix languages."""
    spaced = [words.task for words in VOCABULARY.values() if words.spaced]
    return frozenset(name for task in spaced for name in (*task.technical, *task.machines))


@Derived
def _parts() -> re.Pattern[str]:
    unspaced = [words.task for words in VOCABULARY.values() if not words.spaced]
    return any_of(name for task in unspaced for name in (*task.technical, *task.machines))
