"""Cuts a text into tokens: words, numbers, line breaks, spaces and single marks.

The text is the concatenation of its tokens.
"""

import re
from collections.abc import Iterator

_TOKEN = re.compile(r"\n|[^\S\n]+|\d+|[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|.", re.S)
_WORD = re.compile(r"[^\W\d_]")
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    rf"\d{{4}}[-/.年]\d{{1,2}}[-/.月]\d{{1,2}}日?|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|\d{{1,2}}:\d{{2}}(?::\d{{2}})?"
    rf"|\b\d{{1,2}}(?:st|nd|rd|th)?\.? {_MONTH},?(?: \d{{4}})?\b|\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:, \d{{4}})?\b"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b",
    re.I,
)
_DATED = re.compile(r"\d+|[dD][aA][yY]")
"""Each date and time holds one of these: digits, or the end of a weekday's name."""
_NUMBER = re.compile(r"\d+")
NEAR = 3
"""A date has at most two spaces. All of it therefore lies within this many spaces of each of its digits."""
DATE = "\0"
"""The token that stands for a date or time. A date is never fixed text, even if it is the same in a whole window."""


def tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def dated_tokens(text: str) -> list[str]:
    """Return the tokens, with `DATE` in place of each date and time."""
    return tokens(without_dates(text))


def words(text: str) -> int:
    """Return the number of words. A Chinese or Japanese character counts as one word."""
    return sum(1 for token in tokens(text) if _WORD.match(token))


def masked(text: str) -> str:
    """Replace each date by `DATE`, and each other number by `0`."""
    return _NUMBER.sub("0", without_dates(text))


def without_dates(text: str) -> str:
    """Replace each date and time by `DATE`. Only the words around digits and weekdays are searched, which takes half of
    the time of a search in the whole text."""
    parts: list[str] = []
    done = 0
    for start, end in _dated_spans(text):
        parts += (text[done:start], _DATE.sub(DATE, text[start:end]))
        done = end
    return "".join((*parts, text[done:]))


def _dated_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of words that may hold a date, from left to right. Every date lies inside one span."""
    start = end = word_end = 0
    for match in _DATED.finditer(text):
        if match.end() <= word_end:
            continue
        word_end, until = _word_ends(text, match.end())
        begin = _words_before(text, match.start(), end)
        if begin > end:
            yield start, end
            start = begin
        end = until
    yield start, end


def _word_ends(text: str, at: int) -> tuple[int, int]:
    """Return where the word at `at` ends, and where the words near it end."""
    ends = [at]
    while len(ends) <= NEAR and ends[-1] < len(text):
        space = text.find(" ", ends[-1] + (len(ends) > 1))
        ends.append(space if space >= 0 else len(text))
    return ends[min(1, len(ends) - 1)], ends[-1]


def _words_before(text: str, at: int, least: int) -> int:
    """Return where the words near the word at `at` begin, or `least` if that is further right."""
    for _ in range(NEAR):
        space = text.rfind(" ", least, at)
        if space < 0:
            return least
        at = space
    return at + 1
