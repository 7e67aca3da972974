"""Describes the middle of a message, so that a task at one of its ends can be told from the text: in a table, a log, a
chat or code, a task is the part that is written in another way.
"""

import re
from collections import Counter
from collections.abc import Callable
from statistics import median

from msgspec import Struct

from gateway.context.fence import language_of

SAMPLES = 8
"""The number of lines of the middle that are looked at."""
FEWEST = 5
LINE_CHARS = 160
OWN, ALIKE = 0.3, 0.5
"""The first is added to the score of a part that is written in another way than the text, the second is subtracted from
one that is written like it.
"""
COMMON = 0.25
"""A form that at least this share of the lines has is a form of the text."""
STRUCTURED = 0.6
CODE_SHARE = 0.03
ASKING = 0.3
"""This share of what the middle itself scores as a task is subtracted: some texts are full of questions and wishes."""
SPARSE = 0.5
STANDS_ALONE = 3
"""A part stands alone if the paragraphs of the text are at least this many times as long."""

OF_CODE = re.compile(r"[{}();=<>\[\]|\\_]")
"""A character that is typical of code."""
_FORMS = {
    "number": re.compile(r"[\s\[(]*\d"),
    "speaker": re.compile(r"\s*(?!\d)[\w .'’-]{1,24}[:：]"),
    "bullet": re.compile(r"\s*[-*•>|#+]"),
    "key": re.compile(r"\s*[\"'{}\[\]]"),
    "indented": re.compile(r"(?: {2,}|\t)"),
}


class Middle(Struct, frozen=True):
    """What the sampled lines of the middle have in common."""

    forms: frozenset[str] = frozenset()
    """The forms of many lines. Empty for prose."""
    code: float = 0.0
    """The share of characters that are typical of code."""
    language: str = ""
    asks: float = 0.0
    """The score as a task that only a quarter of the lines exceed."""
    block_chars: float = 0.0
    """The median length of the paragraphs."""

    def resembles(self, part: str) -> bool:
        """Whether a part is written in a form of the text."""
        own = _forms(part)
        return bool(self.forms & own) or (self.code > CODE_SHARE and "indented" in own)

    def stands_out(self, part: str) -> float:
        """Return what is added to a part's score as a task for being written in another way than the middle, or like
        it.
        """
        if self.resembles(part):
            return -ALIKE
        differs = bool(self.forms) and not _forms(part)
        differs |= self.code > CODE_SHARE and len(OF_CODE.findall(part)) < SPARSE * self.code * len(part)
        differs |= bool(self.language) and language_of(part) != self.language
        alone = STANDS_ALONE * len(part) < self.block_chars
        return OWN * differs + OWN / 2 * alone - ASKING * max(0.0, self.asks)


def middle_of(message: str, blocks: list[tuple[int, int]], asks: Callable[[str], float]) -> Middle:
    """Return the description of what stands between the first and the last paragraph or, if that is little, between
    the first and the last line. `asks` scores a line as a task.
    """
    lines = _lines(message[blocks[0][1] : blocks[-1][0]]) if len(blocks) > 2 else []
    if len(lines) < FEWEST:
        lines = _lines(message)[1:-1]
    if len(lines) < FEWEST:
        return Middle()
    chosen = [lines[len(lines) * place // SAMPLES][:LINE_CHARS] for place in range(SAMPLES)]
    counts = Counter(form for line in chosen for form in _forms(line))
    forms = frozenset(form for form, count in counts.items() if count >= COMMON * SAMPLES)
    shared = sum(bool(_forms(line) & forms) for line in chosen)
    scores = sorted(asks(line.strip()) for line in chosen)
    languages = Counter(map(language_of, chosen)).most_common(1)
    return Middle(
        forms if shared >= STRUCTURED * SAMPLES else frozenset(),
        median(len(OF_CODE.findall(line)) / len(line) for line in chosen),
        languages[0][0] if languages[0][1] > STRUCTURED * SAMPLES else "",
        scores[-SAMPLES // 4],
        median(end - start for start, end in blocks[1:-1]) if len(blocks) > 2 else 0.0,
    )


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _forms(part: str) -> set[str]:
    return {name for name, pattern in _FORMS.items() if pattern.match(part)}
