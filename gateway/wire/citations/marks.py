"""Finds citation marks in a text: [1], [2, 3], 【1】."""

import re

from msgspec import Struct

CITED = re.compile(r"[\[【]\s{0,2}(\d{1,3}(?:\s{0,2}[,，、]\s{0,2}\d{1,3}){0,15})\s{0,2}[\]】]")
LONGEST_MARK = 160
"""The maximum length of a mark in characters. A longer text in brackets is not a mark."""
NUMBER = re.compile(r"\d+")
FENCE = re.compile(r" {0,3}`{3,}[^`]*$")
"""Matches a line that opens or closes a code block."""
CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)")
"""Matches code between backticks within a line."""


class CitationMark(Struct, frozen=True):
    """A citation mark in a text. `end` is the position just after the mark."""

    end: int
    numbers: tuple[int, ...]


class MarkFinder:
    """Finds marks in a text that arrives in pieces.

    Inside code, `[1]` is an index, not a mark. A mark is returned once no later piece can turn the mark into code. The
    result does not depend on where the text is cut into pieces.
    """

    def __init__(self) -> None:
        self._line = ""  # the incomplete last line
        self._begin = 0  # the position of this line in the text
        self._seen = 0  # the position in this line up to which it was searched
        self._in_code = False

    def feed(self, text: str) -> list[CitationMark]:
        marks: list[CitationMark] = []
        *rests, last = text.split("\n")
        for rest in rests:
            self._line += rest
            marks += self._end_line()
        self._line += last
        return marks if self._in_code else marks + self._look(self._line.partition("`")[0])

    def finish(self) -> list[CitationMark]:
        """Return the marks that were still undecided when the text ended."""
        return self._end_line()

    def _end_line(self) -> list[CitationMark]:
        line, marks = self._line, list[CitationMark]()
        if FENCE.match(line):
            self._in_code = not self._in_code
        elif not self._in_code:
            marks = self._look(CODE.sub(lambda code: " " * len(code[0]), line))
        self._begin, self._line, self._seen = self._begin + len(line) + 1, "", 0
        return marks

    def _look(self, line: str) -> list[CitationMark]:
        marks = []
        for match in CITED.finditer(line, self._seen):
            marks.append(CitationMark(self._begin + match.end(), tuple(map(int, NUMBER.findall(match[1])))))
            self._seen = match.end()
        opened = max(line.rfind("["), line.rfind("【"))
        if opened < self._seen or len(line) - opened > LONGEST_MARK:
            opened = len(line)
        self._seen = opened
        return marks


def marks_in(text: str) -> list[CitationMark]:
    marks = MarkFinder()
    return marks.feed(text) + marks.finish()
