"""Guesses the type of a part from its values."""

import re
from collections.abc import Sequence

import msgspec

_NUMBER = re.compile(r"\s*[+-]?[\d.,_ ]*\d\s*%?\s*")
_DATE = re.compile(
    r"\s*(?:\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?(?:[T ]\d{1,2}:\d{2}\S*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
    r"|\d{1,2}:\d{2}(?::\d{2})?"
    r"|(?:\d{1,2}\.? )?[A-Z][a-z]{2,8}\.? \d{1,4}(?:, \d{4})?(?: \d{4})?)\s*"
)
_NAME = re.compile(r"\s*(?:[A-Z][\w'.-]*)(?: (?:[A-Z][\w'.-]*|de|van|von|da|of)){0,3}\s*")
_LANGUAGE_NAMES = """
english french german spanish italian portuguese dutch polish russian chinese japanese korean arabic hindi turkish
swedish danish norwegian finnish czech greek hebrew ukrainian vietnamese thai indonesian romanian hungarian
en fr de es it pt nl pl ru zh ja ko ar hi tr sv da no fi cs el he uk vi th id ro hu
"""
_LANGUAGES = frozenset(_LANGUAGE_NAMES.split())
_LISTED = re.compile(r"(?:^|\n)\s*(?:[-*•]|\d+[.)]|[A-Za-z][.):])\s")
_CODE = re.compile(
    r"```|(?:^|\n)\s*(?:def |class |import |function |public |#include|SELECT |const |let |var )|[{};]\s*\n"
)
SHARE = 0.9
"""If at least this share of the values is of a type, the part has this type."""
WORD_CHARS = 40
FEW = 12
"""A part is a choice if it has at most this many distinct values, and each of them occurs often."""


def part_type(values: Sequence[str]) -> str:
    """Return `number`, `date`, `language`, `name`, `json`, `code`, `list`, `choice` or `text`, or `empty` for a part
    that was never filled.
    """
    filled = [value for value in values if value.strip()]
    if not filled:
        return "empty"
    for name, holds in _TYPES:
        if sum(map(holds, filled)) >= SHARE * len(filled):
            return name
    short = all(len(value) <= WORD_CHARS for value in filled)
    return "choice" if short and len(set(filled)) <= FEW < len(filled) else "text"


def _is_json(value: str) -> bool:
    plain = value.strip()
    if not plain.startswith(("{", "[")):
        return False
    try:
        msgspec.json.decode(plain)
    except msgspec.DecodeError:
        return False
    return True


_TYPES = (
    ("number", lambda value: bool(_NUMBER.fullmatch(value))),
    ("date", lambda value: bool(_DATE.fullmatch(value))),
    ("language", lambda value: value.strip().lower() in _LANGUAGES),
    ("json", _is_json),
    ("name", lambda value: len(value) <= WORD_CHARS and bool(_NAME.fullmatch(value))),
    ("code", lambda value: bool(_CODE.search(value))),
    ("list", lambda value: len(_LISTED.findall(value)) >= 2),
)
