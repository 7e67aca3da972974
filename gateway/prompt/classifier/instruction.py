"""Finds the instruction among the lines of a prompt: the lines that ask, not the text that is pasted.

A logistic model on the words of a line, trained on our seed prompts, which store instruction and payload separately. In
a prompt of one line it tells only whether the words before a colon are the instruction; otherwise the rules of
`language/payload.py` decide.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from gateway.prompt.language.literals import fences
from gateway.split import Split

FIRST_LINES, LAST_LINES = 6, 3  # an instruction is at the beginning or at the end
LINE_CHARS = 300
HARDLY, CLEARLY = 1.0, 1.5  # log-odds
LEADS = 1.5  # log-odds for a first line that the rules of the split take for the instruction too
_LEADING = frozenset({"colon", "line", "dash", "fence"})
"""Rules whose payload follows the instruction."""
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+|[^\s\w]")
_PARAGRAPH = re.compile(r"\n\s*\n")
_COLON = re.compile(r":\s|：")
_BLANK, _DIGITS = re.compile(r"\s+"), re.compile(r"\d+")
_HEAD_WORDS, _TAIL_WORDS = 40, 20
_HEAD_ZH, _TAIL_ZH = 50, 30


class InstructionModel:
    """The weights of the words of one language."""

    def __init__(self, weights: Mapping[str, float], *, spaced: bool = True) -> None:
        """`weights`: by token, as `line_tokens` returns them; the key "" is the bias."""
        self.weights = weights
        self.spaced = spaced

    def score(self, line: str) -> float:
        """The log-odds that the line is an instruction."""
        weights = self.weights
        return sum([weights[token] for token in line_tokens(line, spaced=self.spaced) if token in weights], weights[""])

    def instruction(self, text: str, parts: Split) -> str:
        """The lines that ask, at the start or else at the end; "" if no line asks, or if the rules of the split have
        found the instruction."""
        if "\n" not in text.strip():
            return "" if parts.payload else self._before_colon(text)
        end = text[-LINE_CHARS * LAST_LINES :].rstrip()
        last = [line for line in _PARAGRAPH.split(end)[-1].split("\n") if line.strip()][-LAST_LINES:]
        lines = [*_lines(text, _end(parts))][:FIRST_LINES]
        leads = LEADS if parts.rule in _LEADING else 0.0
        if lines and last and self._asks_more(last[-1], lines[0], leads):
            lines = []
        return "\n".join(self._asking(lines, leads) or reversed(self._asking(last[::-1])))

    def _asks_more(self, last: str, first: str, leads: float) -> bool:
        """Whether the last line asks and the first one hardly does. A first line that asks has priority, since a
        pasted text may end with a command."""
        score = self.score(first[:LINE_CHARS]) + leads
        return score < HARDLY and self.score(last[:LINE_CHARS]) > score + CLEARLY

    def has_text_after_colon(self, text: str) -> bool:
        """Whether the words before the first colon are the instruction, and text follows."""
        colon = _COLON.search(text, 0, LINE_CHARS)
        return colon is not None and len(text) > colon.end() and self.score(text[: colon.start()]) > 0.0

    def _before_colon(self, text: str) -> str:
        colon = _COLON.search(text, 0, LINE_CHARS)
        if colon is None or self.score(text[: colon.start()]) <= 0.0 or self.score(text[colon.end() :]) > 0.0:
            return ""
        return text[: colon.start()]

    def _asking(self, lines: Sequence[str], leads: float = 0.0) -> list[str]:
        """The lines up to the first one that does not ask. `leads`: added to the log-odds of the first one."""
        asking: list[str] = []
        for line in lines:
            if self.score(line[:LINE_CHARS]) + (0.0 if asking else leads) <= 0.0:
                break
            asking.append(line)
        return asking


def line_tokens(line: str, *, spaced: bool) -> set[str]:
    """The words of a line and their pairs, or runs of characters in an unspaced language, its length and its end."""
    line = line.strip().lower()
    if spaced:
        words = ["#" if word.isdigit() else word for word in _WORD.findall(line)]
        if len(words) > _HEAD_WORDS + _TAIL_WORDS:
            words = words[:_HEAD_WORDS] + words[-_TAIL_WORDS:]
        size = len(words)
        tokens = {*words, *map(" ".join, itertools.pairwise(words)), *_begins(words, " ")}
    else:
        dense = _DIGITS.sub("#", _BLANK.sub("", line))
        size = len(dense) // 2
        if len(dense) > _HEAD_ZH + _TAIL_ZH:
            dense = dense[:_HEAD_ZH] + dense[-_TAIL_ZH:]
        tokens = {*dense, *map("".join, itertools.pairwise(dense)), *_begins([*dense], "")}
    return tokens | {f"<length {min(6, (size + 1).bit_length())}>", f"<ends {line[-1:]}>"}


def _begins(words: Sequence[str], joint: str) -> Iterator[str]:
    for count in (1, 2):
        if len(words) >= count:
            yield f"^{joint.join(words[:count])}"


def _lines(text: str, end: int) -> Iterator[str]:
    """The lines before `end`, without code blocks."""
    head = text[:end]
    for block in reversed(fences(head)) if "```" in head or "~~~" in head else ():
        head = f"{head[: block.start]}\n{head[block.end :]}"
    for line in head.split("\n"):
        if line.strip() and not line.lstrip().startswith(("```", "~~~")):
            yield line


def _end(parts: Split) -> int:
    """The index where the first lines end: at a payload that follows its instruction, else at the end of the prompt."""
    span = parts.payload
    return span.start if span is not None and span.start > 0 and parts.rule in _LEADING else len(parts.query)
