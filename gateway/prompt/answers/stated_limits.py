"""Finds the limits that a prompt states for its answer. `stated_checks` checks answers against these limits.

The wordings are in each language's file (`[limits]`).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway.prompt.language.answer_words import LimitPattern, LimitWords
from gateway.prompt.language.vocabulary import VOCABULARY, Derived

OUTER = " \t\r\n.。!！\"“”'‘’「」*`"
"""Characters that may stand around an answer or a quotation, and do not belong to it."""
MOST_OPTIONS = 12
_Q = r"[\"“”'‘’「」『』]"
_QUOTED = rf"{_Q}([^\"“”「」『』\n]{{1,60}}?){_Q}"
_BARE = _QUOTED.replace("([^", "(?:[^")


class StatedLimit(NamedTuple):
    """One limit on an answer. `most` is -1 if there is no upper limit."""

    kind: str
    least: int = 0
    most: int = -1
    text: str = ""
    options: tuple[str, ...] = ()


def limits_of(instruction: str) -> Iterator[StatedLimit]:
    """Yield each limit in an instruction, in no particular order."""
    wordings = _wordings()
    for kind, bound, pattern in wordings.numbers:
        for match in pattern.finditer(instruction):
            least, most = _bounds(bound, _number(match[1], wordings.counts))
            yield StatedLimit(kind, least, most)
    for kind, _, pattern in wordings.texts:
        for match in pattern.finditer(instruction):
            yield StatedLimit(kind, text=match[1].strip())
    for kind in dict.fromkeys(kind for kind, _, pattern in wordings.flags if pattern.search(instruction)):
        yield StatedLimit(kind)
    for language in dict.fromkeys(kind for kind, _, pattern in wordings.languages if pattern.search(instruction)):
        yield StatedLimit("language", text=language)
    for pattern in wordings.options:
        for match in pattern.finditer(instruction):
            options = tuple(dict.fromkeys(_options(match[1], wordings.splits)))
            if len(options) > 1:
                yield StatedLimit("options", options=options)


def _bounds(bound: str, number: int) -> tuple[int, int]:
    return {"most": (0, number), "under": (0, number - 1), "least": (number, -1), "exact": (number, number)}[bound]


def _number(word: str, counts: dict[str, int]) -> int:
    return int(word) if word.isdigit() else counts.get(word.lower(), 0)


def _options(text: str, splits: re.Pattern[str]) -> list[str]:
    parts = re.findall(_QUOTED, text) or splits.split(text)
    return [part.strip(OUTER) for part in parts if part.strip(OUTER)]


class _Wordings(NamedTuple):
    """The compiled wordings of all languages, since prompts mix languages. An item of the first four fields is (kind,
    bound, pattern).
    """

    numbers: list[tuple[str, str, re.Pattern[str]]]
    texts: list[tuple[str, str, re.Pattern[str]]]
    flags: list[tuple[str, str, re.Pattern[str]]]
    languages: list[tuple[str, str, re.Pattern[str]]]
    options: list[re.Pattern[str]]
    splits: re.Pattern[str]
    counts: dict[str, int]


@Derived
def _wordings() -> _Wordings:
    limits = [words.limits for words in VOCABULARY.values()]
    return _Wordings(
        numbers=[_compiled(limit, own) for own in limits for limit in own.numbers],
        texts=[_compiled(limit, own) for own in limits for limit in own.texts],
        flags=[_compiled(limit, own) for own in limits for limit in own.flags],
        languages=[_compiled(limit, own) for own in limits for limit in own.languages],
        options=[_pattern(option, own) for own in limits for option in own.options],
        splits=re.compile("|".join(own.splits for own in limits if own.splits) or r"(?!)", re.I),
        counts={word: value for own in limits for word, value in own.counts.items()},
    )


def _compiled(limit: LimitPattern, own: LimitWords) -> tuple[str, str, re.Pattern[str]]:
    return limit.kind, limit.bound, _pattern(limit.pattern, own)


def _pattern(written: str, own: LimitWords) -> re.Pattern[str]:
    """Compile a pattern from a language's file. Marks such as `{N}` are first replaced by the patterns that they stand
    for.
    """
    number = "|".join([r"\d{1,4}", *sorted(map(re.escape, own.counts), key=len, reverse=True)])
    answer = f"(?:{_BARE}|{own.item or '(?!)'})"
    answers = rf"({answer}(?:(?:{own.join or '(?!)'}){answer}){{1,{MOST_OPTIONS - 1}}})(?={own.end or '$'})"
    for mark, pattern in (("{N}", f"({number})"), ("{QUOTED}", _QUOTED), ("{LIST}", answers), ("{Q}", _Q)):
        written = written.replace(mark, pattern)
    return re.compile(written, re.I)
