"""How each source of a slot looks for its value: one small function a source, all by rules."""

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from gateway.prompt import marks
from gateway.prompt.fields import Slot, Source
from gateway.prompt.languages import find_language
from gateway.prompt.payload import Split

SEARCHED_CHARS = 20_000
"""Patterns look no further, so that a long query cannot hold up the others."""


class Place(Struct, frozen=True):
    """A value and where it stands; -1 if it is not there word for word."""

    value: str
    start: int = -1
    end: int = -1


class Reading(Struct, frozen=True):
    """What the finders look at: the query taken apart, and the language of the template."""

    split: Split
    language: str

    @property
    def query(self) -> str:
        return self.split.query

    @property
    def instruction(self) -> str:
        """The query with the payload blanked out, so that places in it are places in the query."""
        whole = self.split.payload
        if whole is None:
            return self.query
        return self.query[: whole.start] + "\0" * (whole.end - whole.start) + self.query[whole.end :]


def _query(_slot: Slot, reading: Reading) -> Place:
    return Place(reading.query, 0, len(reading.query))


def _payload(_slot: Slot, reading: Reading) -> Place | None:
    span = reading.split.payload
    return Place(reading.split.payload_text, span.start, span.end) if span else None


def _instruction(_slot: Slot, reading: Reading) -> Place | None:
    spans = reading.split.instruction
    if not spans:
        return None
    if len(spans) == 1:
        return Place(reading.split.instruction_text, spans[0].start, spans[0].end)
    return Place(reading.split.instruction_text)


def _question(slot: Slot, reading: Reading) -> Place | None:
    """The last sentence with a question mark; the whole instruction if there is none."""
    text = reading.instruction
    end = max(text.rfind("?"), text.rfind("？")) + 1
    if not end:
        return _instruction(slot, reading)
    start = max(text.rfind(stop, 0, end - 1) for stop in (". ", "! ", "? ", "。", "！", "？", "\n", "\0")) + 1
    return _stripped(reading.query, start, end)


_TITLE = re.compile(
    r"^[ \t]{0,8}(?:#{1,6} |\*\*)?(?P<title>[^\W\d_][\w -]{0,30}?)(?:\*\*)?[ \t]?[:：](?:\*\*)?", re.MULTILINE
)


def _section(slot: Slot, reading: Reading) -> Place | None:
    """What follows a title of `values`, up to the next title of any section."""
    titles = {word.lower() for words in slot.values.values() for word in words}
    found = list(_TITLE.finditer(reading.query))
    for index, title in enumerate(found):
        if title["title"].lower() in titles:
            end = next((later.start() for later in found[index + 1 :] if _is_title(later)), len(reading.query))
            return _stripped(reading.query, title.end(), end)
    return None


_COMMON_TITLES = frozenset(
    [
        "context",
        "passage",
        "text",
        "article",
        "document",
        "background",
        "material",
        "question",
        "query",
        "task",
        "instruction",
        "instructions",
        "requirements",
        "input",
        "output",
        "code",
        "error",
        "notes",
        "note",
        "answer",
        "sources",
        "source",
        "facts",
        "data",
    ]
) | frozenset(
    [
        "材料",
        "上下文",
        "背景",
        "问题",
        "文章",
        "原文",
        "要求",
        "代码",
        "资料",
        "文本",
        "任务",
        "说明",
        "参考资料",
        "已知",
        "输入",
        "提问",
        "内容",
    ]
)


def _is_title(found: re.Match[str]) -> bool:
    return found["title"].lower() in _COMMON_TITLES


def _quoted(_slot: Slot, reading: Reading) -> Place | None:
    found = marks.QUOTED.search(reading.query)
    return _group(found) if found else None


_LOOKS_LIKE_CODE = re.compile(
    r"[;{}][ \t]*$|^[ \t]*(?:def|class|import|from|function|const|let|var|public|private|#include|SELECT|if|for|while|"
    r"return|print)\b[^\n]*[(:;{=]|\w\([^()\n]*\)|=>|==|\+=",
    re.MULTILINE,
)


def _code(_slot: Slot, reading: Reading) -> Place | None:
    blocks = marks.fences(reading.query)
    if blocks:
        start, end = blocks[0].body_start, blocks[0].body_end
        return Place(reading.query[start:end], start, end)
    span = reading.split.payload
    if span and _LOOKS_LIKE_CODE.search(reading.query, span.start, min(span.end, span.start + SEARCHED_CHARS)):
        return Place(reading.split.payload_text, span.start, span.end)
    return None


def _options(_slot: Slot, reading: Reading) -> Place | None:
    found = marks.find_options(reading.instruction)
    return _stripped(reading.query, *found.span(found.lastgroup or 0)) if found else None


def _choice(slot: Slot, reading: Reading) -> Place | None:
    """The value whose word comes first in the instruction; the longer word where two begin together."""
    text = reading.instruction[:SEARCHED_CHARS]
    best: tuple[int, int, str, int] | None = None
    for value, words in slot.values.items():
        for word in words:
            pattern = rf"(?<!\w){re.escape(word)}(?!\w)" if word.isascii() else re.escape(word)
            found = re.search(pattern, text, re.IGNORECASE)
            if found:
                here = (found.start(), -len(word), value, found.end())
                best = min(best, here) if best else here
    return Place(best[2], best[0], best[3]) if best else None


def _language(_slot: Slot, reading: Reading) -> Place | None:
    found = find_language(reading.instruction[:SEARCHED_CHARS], reading.language)
    return Place(*found) if found else None


def _number(slot: Slot, reading: Reading) -> Place | None:
    text = reading.instruction[:SEARCHED_CHARS]
    if slot.pattern:
        found = slot.pattern.search(text)
        return _group(found) if found else None
    patterns = (marks.NUMBER, marks.NUMBER_WORD, marks.HAN_NUMBER)
    first = min((m for m in (p.search(text) for p in patterns) if m), key=lambda m: m.start(), default=None)
    return _place(first) if first else None


def _pattern(slot: Slot, reading: Reading) -> Place | None:
    found = slot.pattern.search(reading.query[:SEARCHED_CHARS]) if slot.pattern else None
    return _group(found) if found else None


def _first(pattern: re.Pattern[str]) -> Callable[[Slot, Reading], Place | None]:
    def find(_slot: Slot, reading: Reading) -> Place | None:
        found = pattern.search(reading.query[:SEARCHED_CHARS])
        return _place(found) if found else None

    return find


FINDERS: Mapping[Source, Callable[[Slot, Reading], Place | None]] = {
    Source.QUERY: _query,
    Source.PAYLOAD: _payload,
    Source.INSTRUCTION: _instruction,
    Source.QUESTION: _question,
    Source.SECTION: _section,
    Source.QUOTED: _quoted,
    Source.CODE: _code,
    Source.OPTIONS: _options,
    Source.CHOICE: _choice,
    Source.LANGUAGE: _language,
    Source.NUMBER: _number,
    Source.DATE: _first(marks.DATE),
    Source.URL: _first(marks.URL),
    Source.EMAIL: _first(marks.EMAIL),
    Source.PATTERN: _pattern,
}


def _place(found: re.Match[str]) -> Place:
    text = found[0]
    start = found.start() + len(text) - len(text.lstrip())
    return Place(text.strip(), start, start + len(text.strip()))


def _group(found: re.Match[str]) -> Place:
    """The group that matched, or all of it where the pattern has none."""
    group = found.lastindex or 0
    return Place(found[group], found.start(group), found.end(group))


def _stripped(query: str, start: int, end: int) -> Place:
    text = query[start:end]
    start += len(text) - len(text.lstrip())
    return Place(text.strip(), start, start + len(text.strip()))
