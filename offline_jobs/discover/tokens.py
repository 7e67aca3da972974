"""Cuts a text into tokens: words, numbers, line breaks, spaces and single marks.

The text is the concatenation of its tokens.
"""

import re

_TOKEN = re.compile(r"\n|[^\S\n]+|\d+|[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|.", re.S)
_WORD = re.compile(r"[^\W\d_]")
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    rf"\d{{4}}[-/.年]\d{{1,2}}[-/.月]\d{{1,2}}日?|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|\d{{1,2}}:\d{{2}}(?::\d{{2}})?"
    rf"|\b\d{{1,2}}(?:st|nd|rd|th)?\.? {_MONTH},?(?: \d{{4}})?\b|\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:, \d{{4}})?\b"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b",
    re.I,
)
DATE = "\0"
"""The token that stands for a date or time. A date is never fixed text, even if it is the same in a whole window."""


def tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def dated_tokens(text: str) -> list[str]:
    """Return the tokens, with `DATE` in place of each date and time."""
    return tokens(_DATE.sub(DATE, text))


def words(text: str) -> int:
    """Return the number of words. A Chinese or Japanese character counts as one word."""
    return sum(1 for token in tokens(text) if _WORD.match(token))


def masked(text: str) -> str:
    """Replace each date by `DATE`, and each other number by `0`."""
    return re.sub(r"\d+", "0", _DATE.sub(DATE, text))
