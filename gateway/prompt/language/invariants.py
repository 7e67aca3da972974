"""Finds the pieces of a prompt that a rewrite must keep.

Links, numbers, quotations and code look the same in every language (`literals.py`). The rules for other pieces are in
the languages' word files.
"""

import re
from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from gateway.prompt.language import literals as marks
from gateway.prompt.language.language_names import LANGUAGE_WORD
from gateway.prompt.language.values import find_dates, number_words
from gateway.prompt.language.vocabulary import VOCABULARY, Derived, any_of, folded

SEARCHED_CHARS = 4_000
"""Only this many characters at the start of a text are searched for a list of choices."""


class InvariantKind(StrEnum):
    CODE = "code"
    LINK = "link"
    QUOTATION = "quotation"
    PLACEHOLDER = "placeholder"
    DATE = "date"
    NUMBER = "number"
    NAME = "name"
    OPTIONS = "options"
    NEGATION = "negation"
    CONSTRAINT = "constraint"
    FORMAT = "format"
    LANGUAGE = "language"


class Invariant(Struct, frozen=True):
    """A piece that a rewrite must keep, as the prompt spells it."""

    kind: InvariantKind
    text: str


def _followed(*, negations: bool) -> re.Pattern[str]:
    """Return a pattern that matches each negation or constraint with the words after it. The negation alone proves
    nothing, since almost every template contains "not".
    """
    patterns = []
    for words in VOCABULARY.values():
        keep = words.keep
        heads, count = (keep.negations, keep.negated) if negations else (keep.constraints, keep.constrained)
        if heads and words.spaced:
            patterns.append(rf"{words.whole(heads)}(?:[ \t]+[\w'’-]+){{0,{count}}}")
        elif heads:
            patterns.append(rf"{words.whole(heads)}\w{{0,{count}}}")
    return any_of(patterns)


negating = Derived(
    lambda: any_of(words.whole(words.keep.negations) for words in VOCABULARY.values() if words.keep.negations)
)
_negation = Derived(lambda: _followed(negations=True))
_constraint = Derived(lambda: _followed(negations=False))
_formats = Derived(
    lambda: tuple(re.compile(pattern) for words in VOCABULARY.values() for pattern in words.keep.formats)
)
LANGUAGE = re.compile(LANGUAGE_WORD.lower())

_ITEM = r"[\w'’&-][\w'’ &-]{0,39}"
_ITEMS = rf"{_ITEM}(?:[,，、;/|][ \t\n]{{0,2}}(?:or |and )?{_ITEM})+"
_EITHER = r"[\w-]+(?: [\w-]+)? or [\w-]+(?: [\w-]+)?"


def _options() -> Iterator[re.Pattern[str]]:
    for words in VOCABULARY.values():
        for pattern in words.keep.options:
            yield re.compile(pattern.replace("ITEMS", _ITEMS).replace("EITHER", _EITHER))
    yield re.compile(rf"[(\[（【](?P<list>{_ITEMS})[)\]）】]")


_options_of_languages = Derived(lambda: tuple(_options()))


def find_options(text: str) -> tuple[int, int] | None:
    """Return (start, end) of the first list of choices in the text."""
    low = folded(text[:SEARCHED_CHARS])
    first = next((match for match in (pattern.search(low) for pattern in _options_of_languages()) if match), None)
    return first.span("list") if first else None


_QUOTES = re.compile("[\"'“‘«「『]")
_PLACEHOLDS = re.compile(r"[{<\[%$]")
_DIGIT = re.compile(r"\d")
_NAMES = re.compile(r"(?<!^)[A-Z]|[_/@#]|\w\.\w|\d")
"""What makes a word a name: a capital letter after the first character, a digit, or a special character."""

# The patterns apply in this order. Each match is removed from the text, so that a link is not also counted as a name.
_FIXED = (
    (InvariantKind.CODE, marks.INLINE_CODE, re.compile("`")),
    (InvariantKind.LINK, marks.URL, re.compile("://")),
    (InvariantKind.LINK, marks.EMAIL, re.compile("@")),
    (InvariantKind.QUOTATION, marks.QUOTED, _QUOTES),
    (InvariantKind.QUOTATION, marks.TITLE, re.compile("[《〈]")),
    (InvariantKind.PLACEHOLDER, marks.PLACEHOLDER, _PLACEHOLDS),
)

_KIND_OF_CODE = re.compile(r"[\w+#.-]*")


def items(text: str) -> Iterator[Invariant]:
    """Yield each piece that must survive, with its kind. A pattern is tried only if the text has a character that the
    pattern needs.
    """
    for block in reversed(marks.fences(text)) if "```" in text or "~~~" in text else ():
        yield Invariant(InvariantKind.CODE, text[block.body_start : block.body_end])
        text = f"{text[: block.start]}\n{_beside_fence(text[block.start : block.body_start])}\n{text[block.end :]}"
    for kind, pattern, needs in _FIXED:
        if needs.search(text):
            yield from (Invariant(kind, match[match.lastindex or 0]) for match in pattern.finditer(text))
            text = pattern.sub("\n", text)
    yield from _worded(text)


def _beside_fence(line: str) -> str:
    """Return the user's words on the opening line of a fence, or "" if the line only names the language of the code."""
    words = line.strip().lstrip("`~").strip()
    return "" if _KIND_OF_CODE.fullmatch(words) else words


def _worded(text: str) -> Iterator[Invariant]:
    """Yield the pieces that need word lists: dates, numbers, names, choices, negations, constraints, formats,
    languages.
    """
    low = folded(text)
    for start, end in reversed(find_dates(low)):
        yield Invariant(InvariantKind.DATE, text[start:end].strip())
        # the date is removed, so that its day is not counted as a number, nor its month as a name
        text, low = (f"{part[:start]}\n{part[end:]}" for part in (text, low))
    if _DIGIT.search(text):
        yield from _matches(InvariantKind.NUMBER, marks.NUMBER, text, text)
    yield from _matches(InvariantKind.NUMBER, number_words(), low, text)
    if _NAMES.search(text):
        names = _matches(InvariantKind.NAME, marks.NAME, text, text)
        # a language does not count as a name, since the new prompt may translate it: 法语 is "French"
        yield from (name for name in names if not LANGUAGE.fullmatch(folded(name.text)))
    options = find_options(text)
    if options:
        yield Invariant(InvariantKind.OPTIONS, text[slice(*options)].strip())
    yield from _matches(InvariantKind.NEGATION, _negation(), low, text)
    yield from _matches(InvariantKind.CONSTRAINT, _constraint(), low, text)
    for pattern in _formats():
        yield from _matches(InvariantKind.FORMAT, pattern, low, text)
    yield from _matches(InvariantKind.LANGUAGE, LANGUAGE, low, text)


def _matches(kind: InvariantKind, pattern: re.Pattern[str], searched: str, text: str) -> Iterator[Invariant]:
    """Yield the matches of `pattern` in `searched`, spelled as in `text`. Both texts have the same length.

    If the pattern has a group `item`, the piece is that group.
    """
    for match in pattern.finditer(searched):
        start, end = match.span("item") if "item" in pattern.groupindex else match.span()
        yield Invariant(kind, text[start:end].strip())
