"""Suggests known names for a misspelt one."""

import difflib
from collections.abc import Iterable

SHOWN = 20


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence with the nearest known names, or with the first few names if none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, 3, 0.5)
    if close:
        return f"Did you mean {' or '.join(map(repr, close))}?"
    return f"Known: {', '.join(names[:SHOWN]) or 'none'}."
