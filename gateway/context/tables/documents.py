"""Separates the documents in one prompt, so that results about one document are not taken for results about another."""

import re
from collections.abc import Iterator

from msgspec import Struct

SHORTEST = 80
"""The minimum length of a document in characters. A shorter text is a heading or a list item."""
MOST = 20
_KINDS = (
    "document|doc|text|version|contract|report|file|article|draft|offer|letter|paper|essay|policy|agreement|proposal|"
    "candidate|transcript|review|email|study|plan|edition|文档|文件|文本|版本|合同|报告|文章|草案|方案|报价|材料|信|协议|简历|候选人"
)
_NUMBERS = r"[A-Z]\b|\d{1,2}\b|one\b|two\b|three\b|first\b|second\b|I{1,3}\b|[一二三四五六甲乙丙丁]"
_ORDINALS = "old|new|first|second|third|original|revised|previous|current|旧|新|第一份|第二份|第三份|原|修订"
FLAGS = re.IGNORECASE | re.MULTILINE
_MARKS = (
    re.compile(rf"^[ \t#*=<\[-]*(?P<title>(?:{_KINDS})[ \t]*#?(?:{_NUMBERS})[^\n]{{0,60}})$", FLAGS),
    re.compile(rf"^[ \t#*=\[-]*(?P<title>(?:{_ORDINALS})[ \t]*(?:{_KINDS}))[^\n]{{0,20}}$", FLAGS),
    re.compile(r"^(?:={3,}|-{3,}|#{3,})[ \t]*(?P<title>[^\s=#-][^\n=]{1,60}?)[ \t]*(?:={3,}|-{3,}|#{3,})?$", FLAGS),
    re.compile(r"^<(?P<title>(?:document|doc|text|file|article|source)[^<>\n]*)>", FLAGS),
)


class TextDocument(Struct, frozen=True):
    """One of several documents in a text: its title, and its range of characters [start, end)."""

    title: str
    start: int
    end: int


def documents_in(text: str) -> list[TextDocument]:
    """Return the documents in a text. If no marks show where documents begin, the whole text is one document without a
    title.
    """
    for pattern in _MARKS:
        found = list(_marked(text, pattern))
        if 2 <= len(found) <= MOST:
            return found
    return [TextDocument("", 0, len(text))]


def _marked(text: str, pattern: re.Pattern[str]) -> Iterator[TextDocument]:
    marks = list(pattern.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    if not marks or marks[0].start() > SHORTEST:
        return
    for mark, end in zip(marks, ends, strict=True):
        if end - mark.end() < SHORTEST:
            return
        yield TextDocument(mark["title"].strip(" :：*#=-]<>"), mark.start(), end)
