"""Finds the value of a slot by rules. Each source has one small function."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import chain

from msgspec import Struct

from gateway.prompt.language import literals as marks
from gateway.prompt.language.invariants import find_options
from gateway.prompt.language.language_names import find_language
from gateway.prompt.language.technical import find_technical
from gateway.prompt.language.values import find_dates, number_of, number_words
from gateway.prompt.language.vocabulary import VOCABULARY, Derived, folded
from gateway.prompt.templates.fields import Slot, SlotSource, SlotType
from gateway.split import Split

SEARCHED_CHARS = 20_000
"""The number of characters that patterns search, counted from the start of the query. It is limited because a long
search would delay other requests.
"""


class Place(Struct, frozen=True):
    """A value and its place in the query. `start` and `end` are -1 if the value is not literally in the query."""

    value: str
    start: int = -1
    end: int = -1


class QueryReading:
    """The input of the finders: the query split into parts, and the language of the template."""

    def __init__(self, split: Split, language: str) -> None:
        self.split, self.language, self.query = split, language, split.query

    @cached_property
    def instruction(self) -> str:
        """The query with NUL characters in place of the payload, so that all positions stay the same."""
        whole = self.split.payload
        if whole is None:
            return self.query
        return self.query[: whole.start] + "\0" * (whole.end - whole.start) + self.query[whole.end :]

    @cached_property
    def low(self) -> str:
        """The first `SEARCHED_CHARS` of the instruction, in lower case."""
        return folded(self.instruction[:SEARCHED_CHARS])


def _query(_slot: Slot, reading: QueryReading) -> Place:
    return Place(reading.query, 0, len(reading.query))


def _payload(_slot: Slot, reading: QueryReading) -> Place | None:
    span = reading.split.payload
    return Place(reading.split.payload_text, span.start, span.end) if span else None


def _instruction(_slot: Slot, reading: QueryReading) -> Place | None:
    spans = reading.split.instruction
    if not spans:
        return None
    if len(spans) == 1:
        return Place(reading.split.instruction_text, spans[0].start, spans[0].end)
    # the parts before and after the payload are separate sentences
    return Place("\n".join(reading.query[span.start : span.end] for span in spans))


def _question(slot: Slot, reading: QueryReading) -> Place | None:
    """Find the last question, or the whole instruction if it has no question."""
    text = reading.instruction
    end = max(text.rfind("?"), text.rfind("？")) + 1
    if not end:
        return _instruction(slot, reading)
    start = max(text.rfind(stop, 0, end - 1) for stop in (". ", "! ", "? ", "。", "！", "？", "\n", "\0")) + 1
    return _stripped(reading.query, start, end)


_TITLE = re.compile(
    r"^[ \t]{0,8}(?:#{1,6} |\*\*)?(?P<title>[^\W\d_][\w -]{0,30}?)(?:\*\*)?[ \t]?[:：](?:\*\*)?", re.MULTILINE
)


def _section(slot: Slot, reading: QueryReading) -> Place | None:
    """Find the text below a title that is in `values`. The text ends at the next known title of any section."""
    titles = {word.lower() for words in slot.values.values() for word in words}
    lines = list(_TITLE.finditer(reading.query))
    for index, title in enumerate(lines):
        if title["title"].lower() in titles:
            end = next((later.start() for later in lines[index + 1 :] if _is_title(later)), len(reading.query))
            return _stripped(reading.query, title.end(), end)
    return None


_common_titles = Derived(lambda: frozenset(title for words in VOCABULARY.values() for title in words.task.titles))


def _is_title(match: re.Match[str]) -> bool:
    return match["title"].lower() in _common_titles()


def _quoted(_slot: Slot, reading: QueryReading) -> Place | None:
    match = marks.QUOTED.search(reading.query)
    return _group(match) if match else None


_LOOKS_LIKE_CODE = re.compile(
    rf"[{{}}][ \t]*$|{marks.STATEMENT_END}|"
    r"^[ \t]*(?:(?:def|class|function|const|let|var|public|private|#include|SELECT)\b[^\n]*[(:;{=]|"
    r"(?:if|for|while|print)\b(?:[ \t]*\(|[^\n]*(?:=|:[ \t]*$))|(?:import|from|return)\b[^\n]*[({=])|"
    r"\w\((?!e?s\))[^()\n]*\)|=>|==|\+=",
    re.MULTILINE,
)


def _code(_slot: Slot, reading: QueryReading) -> Place | None:
    blocks = marks.fences(reading.query)
    if blocks:
        start, end = blocks[0].body_start, blocks[0].body_end
        return Place(reading.query[start:end], start, end)
    span = reading.split.payload
    if span and _LOOKS_LIKE_CODE.search(reading.query, span.start, min(span.end, span.start + SEARCHED_CHARS)):
        return Place(reading.split.payload_text, span.start, span.end)
    return None


def _options(slot: Slot, reading: QueryReading) -> Place | None:
    span = find_options(reading.instruction)
    if span is None and slot.type is SlotType.LIST and reading.split.payload:
        span = find_options(reading.query)
    return _stripped(reading.query, *span) if span else None


def _choice(slot: Slot, reading: QueryReading) -> Place | None:
    """Find the value whose words come first in the instruction.

    If two begin at the same place, the one with the longer words is used.
    """
    best: tuple[int, int, str, int] | None = None
    for value, words in slot.values.items():
        for word in words:
            place = _find_word(folded(word), reading.low)
            if place >= 0:
                here = (place, -len(word), value, place + len(word))
                best = min(best, here) if best else here
    return Place(best[2], best[0], best[3]) if best else None


def _find_word(word: str, text: str) -> int:
    """Return the start of a word in the text, or -1. An ASCII word must match as a whole word."""
    place = text.find(word)
    if place < 0 or not word.isascii():
        return place
    match = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)
    return match.start() if match else -1


def _language(_slot: Slot, reading: QueryReading) -> Place | None:
    name = find_language(reading.instruction[:SEARCHED_CHARS], reading.language)
    return Place(*name) if name else None


def _number(slot: Slot, reading: QueryReading) -> Place | None:
    """Find the first number, or the first match of the slot's pattern if it has one.

    For a slot of type number, times and versions are skipped.
    """
    text = reading.instruction[:SEARCHED_CHARS]
    if slot.pattern:
        match = slot.pattern.search(text)
        return _group(match) if match else None
    places = sorted(_numbers(text, reading.low), key=lambda place: (place.start, -place.end))
    typed = slot.type is SlotType.NUMBER
    return next((place for place in places if not typed or number_of(place.value) is not None), None)


def _numbers(text: str, low: str) -> Iterator[Place]:
    for match in chain(marks.NUMBER.finditer(text), number_words().finditer(low)):
        yield _stripped(text, *match.span())


def _date(_slot: Slot, reading: QueryReading) -> Place | None:
    spans = find_dates(folded(reading.query[:SEARCHED_CHARS]))
    return _stripped(reading.query, *spans[0]) if spans else None


def _pattern(slot: Slot, reading: QueryReading) -> Place | None:
    match = slot.pattern.search(reading.query[:SEARCHED_CHARS]) if slot.pattern else None
    return _group(match) if match else None


def _technical(_slot: Slot, reading: QueryReading) -> Place | None:
    span = find_technical(reading.query[:SEARCHED_CHARS])
    return Place(reading.query[slice(*span)], *span) if span else None


def _first(pattern: re.Pattern[str]) -> Callable[[Slot, QueryReading], Place | None]:
    def find(_slot: Slot, reading: QueryReading) -> Place | None:
        match = pattern.search(reading.query[:SEARCHED_CHARS])
        return _place(match) if match else None

    return find


FINDERS: Mapping[SlotSource, Callable[[Slot, QueryReading], Place | None]] = {
    SlotSource.QUERY: _query,
    SlotSource.PAYLOAD: _payload,
    SlotSource.INSTRUCTION: _instruction,
    SlotSource.QUESTION: _question,
    SlotSource.SECTION: _section,
    SlotSource.QUOTED: _quoted,
    SlotSource.CODE: _code,
    SlotSource.OPTIONS: _options,
    SlotSource.CHOICE: _choice,
    SlotSource.LANGUAGE: _language,
    SlotSource.NUMBER: _number,
    SlotSource.DATE: _date,
    SlotSource.URL: _first(marks.URL),
    SlotSource.EMAIL: _first(marks.EMAIL),
    SlotSource.TECHNICAL: _technical,
    SlotSource.PATTERN: _pattern,
}


def _place(match: re.Match[str]) -> Place:
    text = match[0]
    start = match.start() + len(text) - len(text.lstrip())
    return Place(text.strip(), start, start + len(text.strip()))


def _group(match: re.Match[str]) -> Place:
    """Return the place of the pattern's last group, or of the whole match if the pattern has no group."""
    group = match.lastindex or 0
    return Place(match[group], match.start(group), match.end(group))


def _stripped(query: str, start: int, end: int) -> Place:
    text = query[start:end]
    start += len(text) - len(text.lstrip())
    return Place(text.strip(), start, start + len(text.strip()))
