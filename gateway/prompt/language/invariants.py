"""What a user wrote that means what it means only word for word: the pieces of a prompt that no rewrite may lose.

Most look the same in every language (`marks.py`); the others come from the languages' word files.
"""

import re
from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from gateway.prompt.language import literals as marks
from gateway.prompt.language.language_names import LANGUAGE_WORD
from gateway.prompt.language.values import NUMBER_WORDS, find_dates
from gateway.prompt.language.vocabulary import VOCABULARY, any_of, folded

SEARCHED_CHARS = 4_000
"""A list of choices is looked for no further."""


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
    """One piece, as it stands in the prompt."""

    kind: InvariantKind
    text: str


def _followed(*, negations: bool) -> re.Pattern[str]:
    """Each word with those that follow it: a bare "not" would be found in almost any template."""
    found = []
    for words in VOCABULARY.values():
        keep = words.keep
        heads, count = (keep.negations, keep.negated) if negations else (keep.constraints, keep.constrained)
        if heads and words.spaced:
            found.append(rf"{words.whole(heads)}(?:[ \t]+[\w'’-]+){{0,{count}}}")
        elif heads:
            found.append(rf"{words.whole(heads)}\w{{0,{count}}}")
    return any_of(found)


NEGATING = any_of(words.whole(words.keep.negations) for words in VOCABULARY.values() if words.keep.negations)
NEGATION = _followed(negations=True)
CONSTRAINT = _followed(negations=False)
FORMATS = tuple(re.compile(pattern) for words in VOCABULARY.values() for pattern in words.keep.formats)
LANGUAGE = re.compile(LANGUAGE_WORD.lower())

_ITEM = r"[\w'’&-][\w'’ &-]{0,39}"
_ITEMS = rf"{_ITEM}(?:[,，、;/|][ \t\n]{{0,2}}(?:or |and )?{_ITEM})+"
_EITHER = r"[\w-]+(?: [\w-]+)? or [\w-]+(?: [\w-]+)?"


def _options() -> Iterator[re.Pattern[str]]:
    for words in VOCABULARY.values():
        for pattern in words.keep.options:
            yield re.compile(pattern.replace("ITEMS", _ITEMS).replace("EITHER", _EITHER))
    yield re.compile(rf"[(\[（【](?P<list>{_ITEMS})[)\]）】]")


OPTIONS = tuple(_options())


def find_options(text: str) -> tuple[int, int] | None:
    """Where the first list of choices stands that the text offers."""
    low = folded(text[:SEARCHED_CHARS])
    found = next((match for match in (pattern.search(low) for pattern in OPTIONS) if match), None)
    return found.span("list") if found else None


_QUOTES = re.compile("[\"'“‘«「『]")
_PLACEHOLDS = re.compile(r"[{<\[%$]")
_DIGIT = re.compile(r"\d")
_NAMES = re.compile(r"(?<!^)[A-Z]|[_/@#]|\w\.\w|\d")
"""What a name has: a capital after the first character, a digit or a mark."""

# In this order: what is found is taken out, so that a link is not also a name.
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
    """Every piece of the text that has to survive, by kind. Cheap marks are looked for before patterns."""
    for block in reversed(marks.fences(text)) if "```" in text or "~~~" in text else ():
        yield Invariant(InvariantKind.CODE, text[block.body_start : block.body_end])
        text = f"{text[: block.start]}\n{_beside_fence(text[block.start : block.body_start])}\n{text[block.end :]}"
    for kind, pattern, needs in _FIXED:
        if needs.search(text):
            yield from (Invariant(kind, found[found.lastindex or 0]) for found in pattern.finditer(text))
            text = pattern.sub("\n", text)
    yield from _worded(text)


def _beside_fence(line: str) -> str:
    """What stands on a fence's own line, unless it is the language of the code: then it is the user's words."""
    words = line.strip().lstrip("`~").strip()
    return "" if _KIND_OF_CODE.fullmatch(words) else words


def _worded(text: str) -> Iterator[Invariant]:
    """What takes words to say: dates, numbers, names, choices, and what must and must not be."""
    low = folded(text)
    for start, end in reversed(find_dates(low)):
        yield Invariant(InvariantKind.DATE, text[start:end].strip())
        # its day is no number of its own, nor its month a name
        text, low = (f"{part[:start]}\n{part[end:]}" for part in (text, low))
    if _DIGIT.search(text):
        yield from _matches(InvariantKind.NUMBER, marks.NUMBER, text, text)
    yield from _matches(InvariantKind.NUMBER, NUMBER_WORDS, low, text)
    if _NAMES.search(text):
        names = _matches(InvariantKind.NAME, marks.NAME, text, text)
        # a language may be named in another: "in French" is kept by 法语
        yield from (name for name in names if not LANGUAGE.fullmatch(folded(name.text)))
    options = find_options(text)
    if options:
        yield Invariant(InvariantKind.OPTIONS, text[slice(*options)].strip())
    yield from _matches(InvariantKind.NEGATION, NEGATION, low, text)
    yield from _matches(InvariantKind.CONSTRAINT, CONSTRAINT, low, text)
    for pattern in FORMATS:
        yield from _matches(InvariantKind.FORMAT, pattern, low, text)
    yield from _matches(InvariantKind.LANGUAGE, LANGUAGE, low, text)


def _matches(kind: InvariantKind, pattern: re.Pattern[str], searched: str, text: str) -> Iterator[Invariant]:
    """The matches as they stand in `text`, which is as long as what is searched; a group `item` is the item."""
    for found in pattern.finditer(searched):
        start, end = found.span("item") if "item" in pattern.groupindex else found.span()
        yield Invariant(kind, text[start:end].strip())
