"""Names classes of words that mean the same to a task: languages, formats, lengths, words like `every`. `classes.toml`
holds the classes by language.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "classes.toml"
FIRST_SIGN = 0xE000
"""The first of the private characters that stand for the classes of a language without spaces."""


def with_names(text: str) -> str:
    """Return a text in lower case, with the name of its class, like `<every>`, in place of each word of a class."""
    return _pattern("en").sub(lambda match: f" <{match.lastgroup}> ", text)


def with_signs(text: str) -> str:
    """Return a text without spaces, with a sign, one character, in place of each word of a class."""
    pattern = _pattern("zh")
    return pattern.sub(lambda match: chr(FIRST_SIGN + pattern.groupindex[match.lastgroup or ""]), text)


def is_sign(token: str) -> bool:
    """Whether a token of a text without spaces has the sign of a class."""
    return any(FIRST_SIGN <= ord(char) < FIRST_SIGN + 100 for char in token)


@cache
def _pattern(language: str) -> re.Pattern[str]:
    classes: dict[str, str] = tomllib.loads(FILE.read_text("utf-8"))[language]
    either = "|".join(f"(?P<{name}>{pattern})" for name, pattern in classes.items())
    return re.compile(rf"\b(?=\w)(?:{either})\b" if language == "en" else either)
