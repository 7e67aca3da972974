"""Converts the words of a slot to a value: a number in digits, a date in ISO form, or the items of a list.

Words that do not fit the type of the slot give None. The functions never guess: they add no year to a date without one,
and leave `tomorrow` as it is.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal

from gateway.prompt.language.vocabulary import VOCABULARY, Derived, LanguageWords, NumberWords, any_of, folded

_SEPARATED = re.compile(r"[-+]?\d{1,3}(?:(?P<mark>[,  '’_.])\d{3})(?:(?P=mark)\d{3})*(?P<rest>[.,]\d+)?")
_PLAIN = re.compile(r"[-+]?\d+(?:[.,]\d+)?")
_CURRENCY = "$€£¥￥ "


class Numbers:
    """The number words of one language."""

    def __init__(self, words: LanguageWords) -> None:
        numbers = words.numbers
        self._numbers = numbers
        self._spaced = words.spaced
        self.values: Mapping[str, int] = {**numbers.digits, **numbers.units, **numbers.groups}
        word = "|".join(sorted(map(re.escape, self.values), key=len, reverse=True)) or "(?!)"
        self.single = f"(?:{word})"
        group = "|".join(map(re.escape, {**numbers.units, **numbers.groups})) or "(?!)"
        self.pattern = _spaced_number(word, group, numbers) if words.spaced else _unspaced_number(word, group, numbers)
        self._scaled = re.compile(rf"(?P<digits>.*\d)\s?(?P<group>{group})$")

    def value(self, text: str) -> Decimal | None:
        """Return the value of number words, such as `two hundred` or `三百二十`. Digits may come before the last
        word, as in `2.5 million`.
        """
        scaled = self._scaled.match(text)
        if scaled:
            digits = digits_value(scaled["digits"])
            return None if digits is None else digits * self.values[scaled["group"]]
        words = self._words(text)
        if not words or any(word not in self.values for word in words):
            return None
        if not self._spaced and len(words) > 1 and all(word in self._numbers.digits for word in words):
            return Decimal("".join(str(self.values[word]) for word in words))  # digits one by one, as in 二〇二六
        return Decimal(_added_up(words, self._numbers))

    def _words(self, text: str) -> list[str]:
        if not self._spaced:
            return list(text)
        return [word for word in re.split(r"[\s-]+", text) if word and word not in self._numbers.joins]


def _added_up(words: list[str], numbers: NumberWords) -> int:
    total = part = digit = 0
    for word in words:
        if word in numbers.digits:
            # "twenty five" is a sum; the zero in 一百〇五 adds nothing
            digit += numbers.digits[word]
        elif word in numbers.units:
            part += (digit or 1) * numbers.units[word]
            digit = 0
        else:
            total += ((part + digit) or 1) * numbers.groups[word]
            part = digit = 0
    return total + part + digit


def _spaced_number(word: str, group: str, numbers: NumberWords) -> str:
    joins = "|".join(map(re.escape, numbers.joins))
    more = rf"(?:(?:\s|-)(?:(?:{joins})\s)?(?:{word})\b)"
    vague = "|".join(map(re.escape, numbers.vague)) or "(?!)"
    counted = "|".join(map(re.escape, numbers.counted)) or "(?!)"
    return (
        rf"(?<!\w)(?:\d[\d.,]*\s(?:{group})\b|(?!(?:{vague})\b)(?:{word})\b{more}*"
        rf"|(?:{vague})\b(?:{more}+|(?=[ -](?:{counted}))))"
    )


def _unspaced_number(word: str, group: str, numbers: NumberWords) -> str:
    counted = "|".join(map(re.escape, numbers.counted)) or "(?!)"
    return rf"\d[\d.,]*(?:{group})|(?:{word})+(?=(?:{counted}))"


@Derived
def numbers_of_languages() -> Mapping[str, Numbers]:
    return {language: Numbers(words) for language, words in VOCABULARY.items()}


number_words = Derived(lambda: any_of(numbers.pattern for numbers in numbers_of_languages().values()))
"""The pattern that matches number words in lower-case text."""


def digits_value(text: str) -> Decimal | None:
    """Return the value of a number in digits, such as `1,234.50`, `1.234,5`, `$20` or `20 %`. Return None for times,
    dates and versions.
    """
    plain = text.strip(_CURRENCY).rstrip("%‰° ")
    plain = re.sub(r"(?<=\d)(?:st|nd|rd|th)$", "", plain)
    separated = _SEPARATED.fullmatch(plain)
    if separated and (separated["mark"] != "." or plain.count(".") > 1 or separated["rest"]):
        rest = (separated["rest"] or "").replace(",", ".")
        return Decimal(re.sub(r"[^\d+-]", "", plain[: separated.start("rest")] if rest else plain) + rest)
    return Decimal(plain.replace(",", ".")) if _PLAIN.fullmatch(plain) else None


def number_of(text: str) -> str | None:
    """Return the number in digits, without currency, unit or thousands separators. Return None if the text is not a
    number.
    """
    plain = folded(unicodedata.normalize("NFKC", text)).strip()
    value = digits_value(plain)
    for numbers in numbers_of_languages().values():
        if value is None:
            value = numbers.value(plain)
    return None if value is None else f"{value.normalize():f}"


def _date_patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    yield "", re.compile(r"(?<![\d-])(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?![\d-])")
    yield "", re.compile(r"(?<![\d.])(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})(?!\d)")
    for language, words in VOCABULARY.items():
        months = "|".join(sorted(words.dates.months, key=len, reverse=True)) or "(?!)"
        number = f"(?:\\d|{numbers_of_languages()[language].single})"
        for pattern in words.dates.patterns:
            yield language, re.compile(pattern.replace("MONTH", f"(?:{months})").replace("NUMBER", number))


def _relative_dates() -> Iterator[str]:
    yield r"(?<![\d/])\d{1,2}[./]\d{1,2}[./]\d{2,4}(?!\d)"  # ambiguous: 5/6/2026 is the 5th of June or the 6th of May
    for words in VOCABULARY.values():
        days = f"(?:{'|'.join(words.dates.days)})"
        yield words.whole(pattern.replace("DAY", days) for pattern in words.dates.relative)


_dates = Derived(lambda: tuple(_date_patterns()))
_relative = Derived(lambda: any_of(_relative_dates()))
_relative_only = Derived(lambda: re.compile(f"(?:{_relative().pattern})$"))


def find_dates(low: str) -> list[tuple[int, int]]:
    """Return (start, end) of each date in lower-case text, in order.

    If two dates overlap, only the earlier one is kept. If both begin at the same place, only the longer one is kept.
    """
    spans = [match.span() for _, pattern in _dates() for match in pattern.finditer(low)]
    spans += [match.span() for match in _relative().finditer(low)]
    dates: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not dates or start >= dates[-1][1]:
            dates.append((start, end))
    return dates


def date_of(text: str) -> str | None:
    """Return the date as `2026-05-12`, as `05-12` if the year is missing, or as `2026-05` if the day is missing.

    Words such as `tomorrow` are returned unchanged. Return None if the text is not a date.
    """
    plain = folded(unicodedata.normalize("NFKC", text)).strip()
    for language, pattern in _dates():
        match = pattern.fullmatch(plain)
        if match:
            return _iso(language, match.groupdict())
    return plain if _relative_only().match(plain) else None


def _iso(language: str, parts: Mapping[str, str | None]) -> str | None:
    year, month, day = (_part(language, parts.get(name)) for name in ("year", "month", "day"))
    if year and year < 100:
        year += 2000
    try:
        date(year or 2000, month or 1, day or 1)
    except ValueError:
        return None
    written = (f"{year:04}" if year else "", f"{month:02}" if month else "", f"{day:02}" if day else "")
    return "-".join(part for part in written if part)


def _part(language: str, text: str | None) -> int:
    if not text:
        return 0
    if text.isdigit():
        return int(text)
    words = VOCABULARY[language]
    value = words.dates.months.get(text) or numbers_of_languages()[language].value(text)
    return int(value or 0)


def _joints() -> Iterator[str]:
    for words in VOCABULARY.values():
        if words.spaced and words.keep.and_:
            yield rf"\s+(?:{'|'.join(words.keep.and_)})\s+"
        else:
            yield from (word for word in words.keep.and_ if len(word) > 1)


_joint = Derived(lambda: any_of(_joints()))
# 和 joins the last two items, but is also part of many words
_last_joint = Derived(
    lambda: any_of(word for words in VOCABULARY.values() for word in words.keep.and_ if len(word) == 1)
)
_COMMA = re.compile(r"\s*[,，、;；|/\n]\s*")
_BULLET = re.compile(r"^\s*(?:[-*•·]|\d{1,2}[.)、])\s*")


def items_of(text: str) -> tuple[str, ...]:
    """Return the items of a list without their bullets. Items are separated by line breaks, commas, semicolons, slashes
    or `and`.
    """
    parts = _COMMA.split(text)
    items = [item for part in parts for item in _cut(part, _joint())]
    if len(parts) > 1:
        items[-1:] = _cut(items[-1], _last_joint())
    plain = (_BULLET.sub("", item).strip(" \t.。:：\"'“”") for item in items)
    return tuple(item for item in plain if item.strip())


def _cut(text: str, joint: re.Pattern[str]) -> list[str]:
    padded, last, pieces = f" {folded(text)} ", 0, []
    for match in joint.finditer(padded):
        pieces.append(text[last : max(0, match.start() - 1)])
        last = match.end() - 1
    return [*pieces, text[last:]]


def list_of(text: str) -> str | None:
    """Return the items of a list, one on each line, or None if there are none.

    `{{ slot | bullets }}` turns the lines into bullets.
    """
    return "\n".join(items_of(text)) or None


def as_it_is(text: str) -> str | None:
    return text if text.strip() else None


READERS: Mapping[str, Callable[[str], str | None]] = {
    "text": as_it_is,
    "number": number_of,
    "date": date_of,
    "list": list_of,
    "enum": as_it_is,
    "language": as_it_is,
    "code": as_it_is,
}
"""The function that converts words to a value, by slot type. It returns None if the words do not fit the type."""
