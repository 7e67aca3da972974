"""Suggests known names for a misspelt one."""

import difflib
from collections.abc import Iterable

SHOWN = 20


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence with the known names most similar to the word. If none is similar, the sentence lists the first
    few names.
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, 3, 0.5)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"Known: {', '.join(names[:SHOWN]) or 'none'}."
