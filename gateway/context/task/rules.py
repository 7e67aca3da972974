"""Rules for tasks whose first words leave little doubt about the kind. `rules.toml` holds the rules by language."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "rules.toml"
POLITE, ASKS = "polite", "asks"
QUESTION = "place"


def ruled(text: str, language: str) -> str:
    """Return the kind of task that is shown by the beginning of a sentence, or "" if the beginning shows no kind."""
    patterns = _patterns().get(language, {})
    return next((kind for kind, pattern in patterns.items() if pattern.match(text)), "")


def is_order(text: str, language: str) -> bool:
    """Whether the beginning of a sentence says what to do with a text. A question does not count, since it may be a
    part of the text.
    """
    return ruled(text, language) not in ("", QUESTION)


def is_wish(text: str, language: str) -> bool:
    """Whether a sentence begins like a wish, such as `Could you`."""
    pattern = _wishes().get(language)
    return pattern is not None and pattern.match(text.lstrip()) is not None


@cache
def _wishes() -> Mapping[str, re.Pattern[str]]:
    tables = tomllib.loads(FILE.read_text("utf-8"))
    return {language: re.compile(rules[ASKS], re.IGNORECASE) for language, rules in tables.items()}


@cache
def _patterns() -> Mapping[str, Mapping[str, re.Pattern[str]]]:
    """Return the patterns by language and kind. A polite beginning is allowed before each pattern."""
    tables = tomllib.loads(FILE.read_text("utf-8"))
    return {
        language: {
            kind: re.compile(rf"\s*{rules[POLITE]}{pattern}", re.IGNORECASE)
            for kind, pattern in rules.items()
            if kind not in (POLITE, ASKS)
        }
        for language, rules in tables.items()
    }
